// Tables, the confusion matrix and the progress of a training, as a person sees them.

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/examples/common/confusion.hpp>
#include <chainrule/examples/common/progress.hpp>
#include <chainrule/examples/common/table.hpp>
#include <chainrule/tests/core/error_of.hpp>

namespace {

using examples::Progress;

// A training of 4 epochs of 100 samples, 2 batches each, on a terminal of this width; each batch
// takes a quarter of a second.
std::string training(int width) {
  std::string text;
  double now = 100;
  Progress progress(
      4, 100, width, [&](std::string_view more) { text += more; }, [&] { return now; });
  for (int epoch = 1; epoch <= 4; ++epoch) {
    for (int batch = 0; batch < 2; ++batch) {
      now += 0.25;
      progress.batch(50, 2.0 / epoch);
    }
    progress.epoch({2.0 / epoch, 0.5}, {2.5 / epoch, 0.4375});
  }
  text += progress.summary() + "\n";
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("examples");

TEST_CASE("output: width and groups of digits") {
  CHECK(examples::width_of("") == 0);
  CHECK(examples::width_of("abc") == 3);
  CHECK(examples::width_of("dz2·(h1)ᵀ ⊗ σ'") == 14);
  CHECK(examples::grouped(0) == "0");
  CHECK(examples::grouped(999) == "999");
  CHECK(examples::grouped(1000) == "1,000");
  CHECK(examples::grouped(-1234567) == "-1,234,567");
  CHECK(examples::grouped(-123) == "-123");
  CHECK(examples::grouped(std::numeric_limits<std::int64_t>::max()) == "9,223,372,036,854,775,807");
}

TEST_CASE("output: a table") {
  examples::Table table({{.title = "formula", .left = true},
                         {.title = "a", .group = "both"},
                         {.title = "b", .group = "both"},
                         {.title = "wide"}});
  table.add({"σ'(z) ⊗ x", "1", "23", "4"});
  table.add({"p", "1000", "2"});
  CHECK(table.to_string() ==
        "             both\n"
        "formula       a   b  wide\n"
        "─────────────────────────\n"
        "σ'(z) ⊗ x     1  23     4\n"
        "p          1000   2\n");
  const std::vector<examples::Table::Column> one = {{.title = "n", .group = "a long heading"}};
  examples::Table plain(one);
  plain.add({"1"});
  CHECK(plain.to_string() ==
        "a long heading\n"
        "             n\n"
        "──────────────\n"
        "             1\n");
}

TEST_CASE("output: confusion matrix and accuracy") {
  const chainrule::Tensor is = chainrule::tensor({0, 0, 1, 9, 9, 9});
  const chainrule::Tensor said = chainrule::tensor({0, 1, 1, 9, 9, 4});
  CHECK(examples::accuracy(is, said) == doctest::Approx(4 / 6.0));
  CHECK(examples::confusion_matrix(is, said) ==
        "              recognised as\n"
        "digit  0  1  2  3  4  5  6  7  8  9       right\n"
        "───────────────────────────────────────────────\n"
        "    0  1  1  ·  ·  ·  ·  ·  ·  ·  ·      1 of 2\n"
        "    1  ·  1  ·  ·  ·  ·  ·  ·  ·  ·      1 of 1\n"
        "    2  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    3  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    4  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    5  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    6  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    7  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    8  ·  ·  ·  ·  ·  ·  ·  ·  ·  ·  none there\n"
        "    9  ·  ·  ·  ·  1  ·  ·  ·  ·  2      2 of 3\n");
}

TEST_CASE("output: progress elsewhere than on a terminal is plain lines") {
  CHECK(training(0) ==
        "           train                 test\n"
        "epoch       loss    accuracy      loss    accuracy\n"
        "──────────────────────────────────────────────────\n"
        "    1     2.0000      50.0 %    2.5000      43.8 %\n"
        "    2     1.0000      50.0 %    1.2500      43.8 %\n"
        "    3     0.6667      50.0 %    0.8333      43.8 %\n"
        "    4     0.5000      50.0 %    0.6250      43.8 %\n"
        "400 samples in 2.0 s, 200 samples/s\n");
}

TEST_CASE("output: progress on a terminal") {
  for (const int width : {80, 120, 72, 60, 40, 20, 5, 1}) {
    CAPTURE(width);
    const std::string text = training(width);
    // What is left on the screen when each line is cleared before it is drawn anew.
    std::string screen, row;
    std::size_t drawn = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text.compare(i, 4, "\r\033[K") == 0) {
        CHECK(static_cast<int>(examples::width_of(row)) < width);
        row.clear();
        ++drawn;
        i += 3;
      } else if (text[i] == '\n') {
        screen += row + "\n";
        row.clear();
      } else {
        CHECK(static_cast<unsigned char>(text[i]) >= ' ');
        row += text[i];
      }
    }
    CHECK(drawn > 8);
    CHECK(screen == training(0));
  }
  // The last bar: 7 of 8 batches after 1.75 s.
  CHECK(training(80).find("epoch 4/4 ━━━━━━━━━━━━━━━━━━━━━───"
                          "  88 %  loss 1.7179  200 samples/s  0:01 left") != std::string::npos);
}

TEST_CASE("output: a loss that is not finite ends the training") {
  for (const double loss :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    std::string text;
    Progress progress(4, 100, 80, [&](std::string_view more) { text = more; });
    CHECK(error_of<chainrule::ValueError>([&] {
            progress.batch(10, loss);
          }).find("; a smaller --rate may help") != std::string::npos);
  }
}

TEST_SUITE_END();
