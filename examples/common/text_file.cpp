#include <chainrule/examples/common/text_file.hpp>

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <chainrule/core/error.hpp>

namespace examples {

namespace {

constexpr std::size_t longest = 256 << 20;
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

void append(std::string& text, std::string_view more, const std::string& path) {
  if (text.size() + more.size() > longest)
    throw chainrule::IoError(fmt::format("{}: more than {} MB of text", path, longest >> 20));
  text += more;
}

// Decompresses what `bytes` has after `data`: one gzip stream, or several one after the other.
std::string inflate_all(Bytes& bytes, std::string_view data, const std::string& path) {
  std::string text;
  const auto damaged = [&](const char* what) {
    const auto line = 1 + std::count(text.begin(), text.end(), '\n');
    return chainrule::IoError(
        fmt::format("{}:{}: the compressed data are damaged: {}", path, line, what));
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
      append(text, {out.data(), out.size() - stream.avail_out}, path);
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        throw damaged(stream.msg != nullptr ? stream.msg : "they are not gzip");
    } while (stream.avail_in != 0 || stream.avail_out == 0);
  }
  if (status != Z_STREAM_END) throw damaged("they end too early");
  return text;
}

}  // namespace

std::string read_text_file(const std::string& path) {
  Bytes bytes(path);
  std::string_view data = bytes.next();
  if (data.starts_with("\x1f\x8b")) return inflate_all(bytes, data, path);
  std::string text;
  for (; !data.empty(); data = bytes.next()) append(text, data, path);
  return text;
}

std::string in_quotes(const std::string& text) {
  std::string shown = text.substr(0, 40);
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return fmt::format("'{}{}'", shown, shown.size() < text.size() ? "…" : "");
}

}  // namespace examples
