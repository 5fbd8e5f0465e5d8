#include <chainrule/core/writable.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

TEST_CASE("writable: writes through spans made before the forward") {
  Tensor w = tensor({1.0, 2.0}, f64).named("w").requires_grad_();
  SUBCASE("are reported") {
    const auto kept = w.mutable_data<double>();
    const Tensor loss = sum(square(w));
    kept[0] = 100;
    CHECK(
        error_of<GradError>([&] { loss.backward(); })
            .find("square: the saved operand w (2,) was written to after it was used: through what "
                  "mutable_data() or an Eigen map of it gave before") == 0);
  }
  SUBCASE("also when the span is gone by then, and through a view") {
    Tensor loss;
    {
      const auto kept = w.mutable_data<double>();
      const auto copy = kept;
      loss = sum(square(w[slice({}, {}, -1)]));
      copy[0] = 100;
    }
    CHECK_THROWS_AS(loss.backward(), GradError);
  }
  SUBCASE("but not without a write, however long the span lives") {
    const auto kept = w.mutable_data<double>();
    for (int i = 1; i <= 3; ++i) {
      kept[0] = i;
      w.zero_grad();
      sum(square(w)).backward();
      CHECK(w.grad().to_vector<double>() == std::vector<double>{2.0 * i, 4});
    }
  }
  SUBCASE("and the memory of a span outlives its tensor") {
    const auto kept = ones({1000}).mutable_data<float>();
    CHECK(kept[999] == 1);
  }
}

TEST_SUITE_END();
