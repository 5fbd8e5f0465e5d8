#include <chainrule/graph/emission/emit.hpp>

#include <fmt/format.h>

#include <fstream>

#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/emission/files.hpp>
#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule {

void EmittedCode::write(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto put = [&](const std::string& file, const std::string& text) {
    const std::filesystem::path path = folder / file;
    std::ofstream out(path);
    out << text << std::flush;
    if (!out) throw IoError(fmt::format("emit_cpp: cannot write {}", path.string()));
  };
  put(name + ".hpp", header);
  put(name + "_values.hpp", values);
  put(name + "_test.cpp", test);
}

EmittedCode emit_cpp(const Tensor& loss, const EmitOptions& options, Where where) {
  if (!emission::Identifiers::is_namespace(options.name))
    throw ValueError(
        fmt::format("emit_cpp: \"{}\" cannot name a namespace of C++", options.name), where,
        "letters, digits and underscores, beginning with a letter, that mean nothing yet");
  const derivation::Chain chain(loss, "emit_cpp", where);
  const emission::Program program(chain, options.predict, where);
  return {options.name, emission::header_file(program, options.name),
          emission::values_file(program, options.name), emission::test_file(program, options.name)};
}

}  // namespace chainrule
