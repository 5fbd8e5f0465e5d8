#include <chainrule/graph/emission/emit.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/emission/files.hpp>
#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule {

namespace {

// A file that gets its name when it is complete.
void put(const std::filesystem::path& path, const std::string& text, const Where& where) {
  std::filesystem::path unfinished = path;
  unfinished += ".part";
  const auto fail = [&](const std::string& reason) {
    std::error_code ignored;
    std::filesystem::remove(unfinished, ignored);
    throw IoError(fmt::format("emit_cpp: cannot write {}: {}", path.string(), reason), where,
                  "the folder must exist or be one that can be made, and have room");
  };
  errno = 0;
  std::ofstream out(unfinished, std::ios::binary);
  out << text << std::flush;
  out.close();
  if (!out) fail(std::strerror(errno == 0 ? EIO : errno));
  std::error_code error;
  std::filesystem::rename(unfinished, path, error);
  if (error) fail(error.message());
}

}  // namespace

void EmittedCode::write(const std::filesystem::path& folder, Where where) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw IoError(fmt::format("emit_cpp: cannot write {}: the folder cannot be made: {}",
                              folder.string(), error.message()),
                  where, "give a folder, or a place where one can be made");
  put(folder / (name + ".hpp"), header, where);
  put(folder / (name + "_values.hpp"), values, where);
  put(folder / (name + "_test.cpp"), test, where);
}

EmittedCode emit_cpp(const Tensor& loss, const EmitOptions& options, Where where) {
  if (!emission::Identifiers::is_namespace(options.name))
    throw ValueError(
        fmt::format("emit_cpp: \"{}\" cannot name a namespace of C++", options.name), where,
        "letters, digits and underscores, beginning with a letter, that mean nothing yet");
  return detail::naming_memory("emit_cpp", where, [&] {
    const derivation::Chain chain(loss, "emit_cpp", where);
    const emission::Program program(chain, options.predict, where);
    return EmittedCode{options.name, emission::header_file(program, options.name),
                       emission::values_file(program, options.name),
                       emission::test_file(program, options.name)};
  });
}

}  // namespace chainrule
