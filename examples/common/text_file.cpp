#include <chainrule/examples/common/text_file.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <chainrule/core/error.hpp>

namespace examples {

namespace {

constexpr std::size_t chunk = 64 << 10;

// Hands out the bytes of a file in chunks.
class Bytes {
 public:
  explicit Bytes(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "rb")) {
    if (!file_) fail("cannot be opened");
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() {
    if (file_) std::fclose(file_);
  }

  /// The next chunk, empty at the end of the file.
  std::string_view next() {
    errno = 0;
    const std::size_t n = std::fread(buffer_.data(), 1, buffer_.size(), file_);
    if (n == 0 && std::ferror(file_)) fail("cannot be read");
    return {buffer_.data(), n};
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw chainrule::IoError(fmt::format("{} {}: {}", path_, what, std::strerror(errno)));
  }

  const std::string& path_;
  std::FILE* file_;
  std::vector<char> buffer_ = std::vector<char>(chunk);
};

// Text that must not grow beyond a limit.
class Text {
 public:
  Text(const std::string& path, std::size_t most) : path_(path), most_(most) {}

  void append(std::string_view more) {
    if (text_.size() + more.size() > most_ << 20)
      throw chainrule::IoError(fmt::format("{}: more than {} MB of text", path_, most_));
    text_ += more;
  }
  std::int64_t lines() const { return std::count(text_.begin(), text_.end(), '\n'); }
  std::string take() { return std::move(text_); }

 private:
  const std::string& path_;
  std::size_t most_;
  std::string text_;
};

// Decompresses `data` and what `bytes` has after it: one gzip stream, or several in a row.
void inflate_all(Bytes& bytes, std::string_view data, const std::string& path, Text& text) {
  const auto damaged = [&](const char* what) {
    return chainrule::IoError(
        fmt::format("{}:{}: the compressed data are damaged: {}", path, text.lines() + 1, what));
  };

  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)  // 16: gzip, with its check of the CRC
    throw chainrule::MemoryError(fmt::format("{}: no memory to decompress it", path));
  const std::unique_ptr<z_stream, int (*)(z_streamp)> guard(&stream, inflateEnd);

  std::vector<char> out(chunk);
  int status = Z_OK;
  for (; !data.empty(); data = bytes.next()) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    do {
      if (status == Z_STREAM_END && stream.avail_in == 0) break;
      if (status == Z_STREAM_END) inflateReset(&stream);
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      status = inflate(&stream, Z_NO_FLUSH);
      text.append({out.data(), out.size() - stream.avail_out});
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        throw damaged(stream.msg != nullptr ? stream.msg : "they are not gzip");
    } while (stream.avail_in != 0 || stream.avail_out == 0);
  }
  if (status != Z_STREAM_END) throw damaged("they end too early");
}

}  // namespace

std::string read_text_file(const std::string& path, std::size_t most) {
  Bytes bytes(path);
  Text text(path, most);
  std::string_view data = bytes.next();
  if (data.starts_with("\x1f\x8b"))
    inflate_all(bytes, data, path, text);
  else
    for (; !data.empty(); data = bytes.next()) text.append(data);
  return text.take();
}

void check_writable(const std::string& path) {
  const bool there = std::filesystem::exists(path);
  errno = 0;
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (!file)
    throw chainrule::IoError(fmt::format("{} cannot be written: {}", path, std::strerror(errno)));
  std::fclose(file);
  if (!there) std::filesystem::remove(path);
}

std::string in_quotes(const std::string& text) {
  std::string shown = text.substr(0, 40);
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return fmt::format("'{}{}'", shown, shown.size() < text.size() ? "…" : "");
}

}  // namespace examples
