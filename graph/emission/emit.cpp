#include <chainrule/graph/emission/emit.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <vector>

#include <chainrule/core/naming_all_memory.hpp>
#include <chainrule/graph/derivation/chain.hpp>
#include <chainrule/graph/emission/files.hpp>
#include <chainrule/graph/emission/identifiers.hpp>

namespace chainrule {

namespace {

// Files that get their names when all of them are complete; what can go wrong is found before.
class Files {
 public:
  explicit Files(const Where& where) : where_(where) {}
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  ~Files() {
    std::error_code ignored;
    for (const File& file : begun_) std::filesystem::remove(file.unfinished, ignored);
  }

  void write(const std::filesystem::path& path, const std::string& text) {
    // What could not get its name in the end is found before any file does.
    if (std::error_code none; std::filesystem::is_directory(path, none))
      fail(path, "it is a folder", other_place);
    File file{path, path};
    file.unfinished += ".part";
    begun_.push_back(std::move(file));
    errno = 0;
    std::ofstream out(begun_.back().unfinished, std::ios::binary);
    out << text << std::flush;
    out.close();
    if (!out) fail(path, {errno == 0 ? EIO : errno, std::generic_category()});
  }
  void name_all() {
    for (const File& file : begun_) {
      std::error_code error;
      std::filesystem::rename(file.unfinished, file.path, error);
      if (error) fail(file.path, error);
    }
    begun_.clear();
  }

 private:
  static constexpr const char* other_place =
      "name a folder that exists or can be made, where files of these names can be written";
  // Both names are made beforehand: cleaning up needs no memory.
  struct File {
    std::filesystem::path path, unfinished;
  };
  [[noreturn]] void fail(const std::filesystem::path& path, std::error_code error) const {
    fail(path, error.message(),
         error == std::errc::no_space_on_device
             ? "free some space there, or name a folder elsewhere"
             : other_place);
  }
  [[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason,
                         const char* hint) const {
    throw IoError(fmt::format("EmittedCode::write: cannot write {}: {}", path.string(), reason),
                  where_, hint);
  }

  Where where_;
  std::vector<File> begun_;
};

}  // namespace

void EmittedCode::write(const std::filesystem::path& folder, Where where) const {
  detail::naming_all_memory("EmittedCode::write", where, [&] {
    // Of code that was moved from nothing is left, and a name with a folder in it leads elsewhere.
    if (!emission::is_identifier(name))
      throw ValueError(fmt::format("EmittedCode::write: \"{}\" cannot name the files", name), where,
                       "write what emit_cpp() returned, as long as it was not moved elsewhere");
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error)
      throw IoError(
          fmt::format("EmittedCode::write: cannot write {}: the folder cannot be made: {}",
                      folder.empty() ? "\"\"" : folder.string(), error.message()),
          where, "give a folder, or a place where one can be made");
    Files files(where);
    files.write(folder / (name + ".hpp"), header);
    files.write(folder / (name + "_values.hpp"), values);
    files.write(folder / (name + "_test.cpp"), test);
    files.name_all();
  });
}

EmittedCode emit_cpp(const Tensor& loss, const EmitOptions& options, Where where) {
  return detail::naming_all_memory("emit_cpp", where, [&] {
    if (!emission::Identifiers::is_namespace(options.name))
      throw ValueError(
          fmt::format("emit_cpp: \"{}\" cannot name a namespace of C++", options.name), where,
          "letters, digits and underscores, beginning with a letter, that mean nothing yet");
    const derivation::Chain chain(loss, "emit_cpp", where);
    const emission::Program program(chain, options.predict, where);
    return EmittedCode{options.name, emission::header_file(program, options.name),
                       emission::values_file(program, options.name),
                       emission::test_file(program, options.name)};
  });
}

}  // namespace chainrule
