// The reader of digits: what it takes, and one clear message for everything that it does not.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/batches.hpp>
#include <chainrule/examples/common/digits.hpp>
#include <chainrule/examples/common/options.hpp>
#include <chainrule/examples/common/text_file.hpp>
#include <chainrule/tests/core/error_of.hpp>

namespace {

using examples::Digits;

// A folder for files of a test, gone when the test ends.
class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "chainrule-XXXXXX";
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path(const char* name) const { return path_ / name; }
  std::string write(const char* name, std::string_view bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

std::string gzipped(const std::string& text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A line whose pixel i is i mod 17.
std::string line(const std::string& label) {
  std::string text;
  for (int i = 0; i < 64; ++i) text += fmt::format("{},", i % 17);
  return text + label;
}

// `count` good lines.
std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += line(std::to_string(i % 10)) + "\n";
  return text;
}

// The message for a file of this content, without the name of its folder.
std::string message(std::string_view bytes) {
  const Folder folder;
  const std::string path = folder.write("f", bytes);
  std::string text =
      error_of<chainrule::IoError>([&] { examples::read_digits(path, chainrule::f32); });
  const std::size_t at = text.find(path);
  return at == std::string::npos ? text : text.replace(at, path.size(), "f");
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("digits: the file that comes with the project") {
  const Digits digits = examples::read_digits(examples::Options::default_data(), chainrule::f64);
  CHECK(digits.size() == 1797);
  CHECK(digits.pixels.shape() == chainrule::Shape{1797, 64});
  CHECK(digits.pixels.dtype() == chainrule::f64);
  CHECK(digits.labels.dtype() == chainrule::i64);
  CHECK(chainrule::min(digits.pixels).item() == 0);
  CHECK(chainrule::max(digits.pixels).item() == 1);
  // The first two lines: a 0 and a 1, and pixels 2, 3 and 4 of the first.
  CHECK(digits.labels.at<std::int64_t>({0}) == 0);
  CHECK(digits.labels.at<std::int64_t>({1}) == 1);
  CHECK(digits.pixels.at({0, 2}) == 5 / 16.0);
  CHECK(digits.pixels.at({0, 3}) == 13 / 16.0);
  CHECK(digits.pixels.at({0, 4}) == 9 / 16.0);
  // How often each digit occurs, counted by another program.
  std::vector<int> counts(10);
  for (const std::int64_t label : digits.labels.to_vector<std::int64_t>()) ++counts[label];
  CHECK(counts == std::vector<int>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180});
}

TEST_CASE("digits: text and gzip, with the ends of lines and the spaces that programs write") {
  const Folder folder;
  const auto read = [&](const std::string& bytes) {
    return examples::read_digits(folder.write("f", bytes), chainrule::f32);
  };
  std::string windows = line("7") + "\r\n" + line("3") + "\r\n";
  std::string spaces = line("7") + "\n" + line("3");  // and no end of the last line
  for (std::size_t at = 0; (at = spaces.find(",", at)) != std::string::npos; at += 3)
    spaces.replace(at, 1, " ,\t");
  const std::string plain = line("7") + "\n" + line("3") + "\n";
  const std::string half = line("7") + "\n";
  for (const std::string& bytes : {plain, gzipped(plain), windows, spaces, "\xef\xbb\xbf" + plain,
                                   gzipped(half) + gzipped(plain.substr(half.size()))}) {
    const Digits digits = read(bytes);
    CHECK(digits.labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{7, 3});
    CHECK(digits.pixels.at({1, 16}) == 1);
    CHECK(digits.pixels.at({1, 63}) == 12 / 16.0);
  }
  std::string fractions = plain;
  fractions.replace(0, 1, "2.5");
  CHECK(read(fractions).pixels.at({0, 0}) == 2.5 / 16);
  // More than a buffer of the reader.
  CHECK(read(lines(3000)).size() == 3000);
  CHECK(read(gzipped(lines(3000))).size() == 3000);
}

TEST_CASE("digits: files that are not there or cannot be read") {
  const Folder folder;
  const auto read = [](const std::string& path) {
    return error_of<chainrule::IoError>([&] { examples::read_digits(path, chainrule::f32); });
  };
  CHECK(read(folder.path("none")) ==
        folder.path("none") + " cannot be opened: No such file or directory");
  CHECK(read(folder.path("")) == folder.path("") + " cannot be read: Is a directory");
  CHECK(read(folder.write("file", "") + "/below") ==
        folder.path("file") + "/below cannot be opened: Not a directory");
}

TEST_CASE("digits: wrong lines") {
  CHECK(message("") == "f:1: the file is empty");
  CHECK(message("\n\n  \r\n") == "f:1: the file is empty");
  CHECK(message(gzipped("")) == "f:1: the file is empty");
  CHECK(message(lines(1)) ==
        "f:1: one image only, where some are to train with and others to test");
  CHECK(message(lines(2) + "\n" + lines(1)) == "f:3: the line is empty");
  CHECK(message(lines(2) + "1,2,3\n") == "f:3: 3 values instead of 65: 64 pixels and the label");
  CHECK(message(lines(2) + "17\n") == "f:3: 1 value instead of 65: 64 pixels and the label");
  CHECK(message(lines(1) + "0," + line("3")) ==
        "f:2: 66 values instead of 65: 64 pixels and the label");
  CHECK(message(lines(1) + line("3") + ",\n") ==
        "f:2: 66 values instead of 65: 64 pixels and the label");
  CHECK(message("a comment\n" + lines(2)) == "f:1: 1 value instead of 65: 64 pixels and the label");

  const auto pixel = [](const std::string& text) {  // in the place of pixel 4 of line 3
    return lines(2) + "1,2,3," + text + line("3").substr(7) + "\n" + lines(1);
  };
  CHECK(message(pixel("17")) == "f:3: pixel 4 is 17, outside of 0 to 16");
  CHECK(message(pixel("16.001")) == "f:3: pixel 4 is 16.001, outside of 0 to 16");
  CHECK(message(pixel("-1")) == "f:3: pixel 4 is -1, outside of 0 to 16");
  CHECK(message(pixel("nan")) == "f:3: pixel 4 is nan, outside of 0 to 16");
  CHECK(message(pixel("inf")) == "f:3: pixel 4 is inf, outside of 0 to 16");
  CHECK(message(pixel("1e999")) == "f:3: pixel 4 is '1e999', too large or too small");
  CHECK(message(pixel("")) == "f:3: pixel 4 is missing");
  CHECK(message(pixel("ink")) == "f:3: pixel 4 is 'ink', not a number");
  CHECK(message(pixel("3x")) == "f:3: pixel 4 is '3x', not a number");
  CHECK(message(pixel("0x3")) == "f:3: pixel 4 is '0x3', not a number");
  CHECK(message(pixel("\x1b[31m\xff")) == "f:3: pixel 4 is '?[31m?', not a number");
  CHECK(message(pixel(std::string(100, 'y'))) ==
        "f:3: pixel 4 is '" + std::string(40, 'y') + "…', not a number");
  CHECK(message(gzipped(pixel("17"))) == "f:3: pixel 4 is 17, outside of 0 to 16");

  CHECK(message(lines(1) + line("10")) == "f:2: the label is 10, not a whole number from 0 to 9");
  CHECK(message(lines(1) + line("-1")) == "f:2: the label is -1, not a whole number from 0 to 9");
  CHECK(message(lines(1) + line("3.5")) == "f:2: the label is 3.5, not a whole number from 0 to 9");
  CHECK(message(lines(1) + line("nan")) == "f:2: the label is nan, not a whole number from 0 to 9");
  CHECK(message(lines(1) + line("three")) == "f:2: the label is 'three', not a number");
  CHECK(message(lines(1) + line("")) == "f:2: the label is missing");
}

TEST_CASE("digits: damaged gzip") {
  const std::string text = lines(2000);
  const std::string good = gzipped(text);
  const std::string end = ": the compressed data are damaged: ";
  const auto starts = [](const std::string& text, const std::string& with) {
    return text.substr(0, with.size()) == with;
  };

  // The last four bytes are the length, the four before the CRC of the text.
  std::string wrong_crc = good;
  wrong_crc[good.size() - 6] ^= 1;
  CHECK(message(wrong_crc) == "f:2001" + end + "incorrect data check");
  std::string wrong_length = good;
  wrong_length[good.size() - 2] ^= 1;
  CHECK(message(wrong_length) == "f:2001" + end + "incorrect length check");

  // Cut off anywhere behind the two bytes by which gzip is known.
  for (const std::size_t size : {std::size_t{2}, std::size_t{9}, std::size_t{10}, std::size_t{30},
                                 good.size() / 2, good.size() - 8, good.size() - 1}) {
    const std::string text_of = message(good.substr(0, size));
    CAPTURE(text_of);
    CHECK(text_of.find(end + "they end too early") != std::string::npos);
  }
  CHECK(starts(message(good.substr(0, good.size() - 1)), "f:2001:"));

  std::string flags = good;
  flags[3] = '\xff';
  CHECK(starts(message(flags), "f:1" + end));
  CHECK(starts(message(good + "rest"), "f:2001" + end));
  // Nothing that bits can do to the file goes unnoticed, or costs more than a message.
  const std::string small = gzipped(lines(2));
  for (std::size_t i = 10; i < small.size(); ++i) {
    std::string bytes = small;
    bytes[i] ^= static_cast<char>(1 << i % 8);
    CAPTURE(i);
    CHECK(starts(message(bytes), "f:"));
  }
}

TEST_CASE("digits: text that is too long to be images") {
  const Folder folder;
  const std::string text(std::size_t{3} << 20, '0');
  for (const std::string& bytes : {text, gzipped(text)}) {
    const std::string path = folder.write("f", bytes);
    CHECK(examples::read_text_file(path) == text);
    CHECK(examples::read_text_file(path, 3) == text);
    CHECK(error_of<chainrule::IoError>([&] { examples::read_text_file(path, 2); }) ==
          path + ": more than 2 MB of text");
  }
}

TEST_CASE("digits: the images of the test are a fifth, and always the same") {
  const Digits digits = examples::read_digits(examples::Options::default_data(), chainrule::f32);
  const examples::Split split = examples::hold_out(digits);
  CHECK(split.test.size() == 359);
  CHECK(split.train.size() == 1438);
  CHECK(split.test.pixels.shape() == chainrule::Shape{359, 64});

  // Numbers in the place of images: each of them is in one of the parts.
  const auto parts = [](std::int64_t count) {
    return examples::hold_out(
        {.pixels = chainrule::zeros({count, 64}), .labels = chainrule::arange(count)});
  };
  for (const std::int64_t count : {2, 3, 5, 7, 8, 100, 1797}) {
    const examples::Split some = parts(count);
    CHECK(some.test.size() == std::max<std::int64_t>(1, (count + 2) / 5));
    std::set<std::int64_t> all;
    for (const auto& part : {some.train.labels, some.test.labels})
      for (const std::int64_t i : part.to_vector<std::int64_t>()) all.insert(i);
    CHECK(static_cast<std::int64_t>(all.size()) == count);
    CHECK(some.test.labels.to_vector<std::int64_t>() ==
          parts(count).test.labels.to_vector<std::int64_t>());
  }
}

TEST_CASE("digits: batches have every sample once, in an order of the seed and the epoch") {
  const auto epoch = [](examples::Batches& batches) {
    std::vector<std::vector<std::int64_t>> all;
    for (const chainrule::Tensor& batch : batches.next_epoch())
      all.push_back(batch.to_vector<std::int64_t>());
    return all;
  };
  examples::Batches batches(10, 4, 7), same(10, 4, 7), other(10, 4, 8);
  const auto first = epoch(batches), second = epoch(batches);
  REQUIRE(first.size() == 3);
  CHECK(first[0].size() == 4);
  CHECK(first[2].size() == 2);
  std::set<std::int64_t> samples;
  for (const auto& batch : first) samples.insert(batch.begin(), batch.end());
  CHECK(samples.size() == 10);
  CHECK(*samples.begin() == 0);
  CHECK(*samples.rbegin() == 9);
  CHECK(second != first);
  CHECK(epoch(same) == first);
  CHECK(epoch(same) == second);
  CHECK(epoch(other) != first);
}

TEST_SUITE_END();
