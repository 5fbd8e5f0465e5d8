#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/create.hpp>
#include <chainrule/core/random.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/nn/optim/adam.hpp>
#include <chainrule/nn/optim/sgd.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/gather.hpp>
#include <chainrule/ops/shape/indexing.hpp>
#include <chainrule/ops/shape/join.hpp>
#include <chainrule/ops/shape/manipulation.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

constexpr std::int64_t rows = 5000, columns = 8;

// A table large enough that its look-ups leave rows, and what is looked up, some of it twice.
struct Table {
  Generator generator{11};
  Tensor w = randn({rows, columns}, generator, f64).requires_grad_();
  Tensor index = tensor({{7, 4999, 7}, {0, 123, 7}});
  Tensor factors = randn({2, 3, columns}, generator, f64);

  // Its gradient at row index[i] is factors[i], summed over i.
  Tensor loss() const { return sum(take(w, index) * factors); }
  std::vector<double> gradient(double times = 1) const {
    std::vector<double> dense(rows * columns);
    const auto at = index.to_vector<std::int64_t>();
    const auto from = factors.to_vector<double>();
    for (std::size_t i = 0; i < at.size(); ++i)
      for (std::size_t j = 0; j < columns; ++j)
        dense[static_cast<std::size_t>(at[i]) * columns + j] += times * from[i * columns + j];
    return dense;
  }
  bool by_rows() const { return !w.node()->grad_rows().empty(); }
};

void check_close(const std::vector<double>& got, const std::vector<double>& right) {
  REQUIRE(got.size() == right.size());
  double off = 0;
  for (std::size_t i = 0; i < got.size(); ++i) off = std::max(off, std::abs(got[i] - right[i]));
  CHECK(off < 1e-14);
}

}  // namespace

TEST_CASE("rows: a large table's look-ups leave rows, and grad() all of it") {
  const Table t;
  t.loss().backward();
  CHECK(t.by_rows());
  check_close(t.w.grad().to_vector<double>(), t.gradient());
  CHECK_FALSE(t.by_rows());
  CHECK(t.w.grad().value_ref() == t.w.grad().value_ref());  // made once
}

TEST_CASE("rows: combined, each row comes once, in ascending order") {
  const Table t;
  t.loss().backward();
  const RowGradient combined = t.w.node()->grad_rows().combined(*t.w.value_ref());
  CHECK(Tensor(combined.index).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 7, 123, 4999});
  const std::vector<double> dense = t.gradient(), got = Tensor(combined.rows).to_vector<double>();
  std::vector<double> right;
  for (const std::size_t row : {0, 7, 123, 4999})
    right.insert(right.end(), dense.begin() + static_cast<std::ptrdiff_t>(row * columns),
                 dense.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
  check_close(got, right);
}

TEST_CASE("rows: one that comes very often keeps its digits") {
  // As the token that fills up sequences: the errors of 200,000 additions of equal terms in a row
  // are of one sign, and come to a percent.
  constexpr std::int64_t often = 200'000;
  Tensor w = zeros({2'000'000, 2}).requires_grad_();
  const Tensor index = concat({full({often}, 17, i64), tensor({3, 3, 1'999'999})});
  sum(take(w, index) * 0.1F).backward();
  const RowGradient combined = w.node()->grad_rows().combined(*w.value_ref());
  CHECK(Tensor(combined.index).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{3, 17, 1'999'999});
  const Tensor sums(combined.rows);
  const double tenth = static_cast<double>(0.1F);
  CHECK(sums.at({0, 1}) == 2 * tenth);
  CHECK(std::abs(sums.at({1, 0}) / (tenth * often) - 1) < 1e-5);
  CHECK(sums.at({1, 1}) == sums.at({1, 0}));
  CHECK(sums.at({2, 0}) == tenth);
}

TEST_CASE("rows: gradients accumulate, whatever they are made of") {
  SUBCASE("rows and rows") {
    const Table t;
    for (int i = 0; i < 3; ++i) t.loss().backward();
    CHECK(t.by_rows());
    check_close(t.w.grad().to_vector<double>(), t.gradient(3));
  }
  SUBCASE("more rows than half of the table") {
    const Table t;
    const Tensor many = randint(0, rows, {rows / 10});
    for (int i = 0; i < 8; ++i) sum(take(t.w, many)).backward();
    CHECK_FALSE(t.by_rows());
    CHECK(sum(t.w.grad()).item() == 8 * (rows / 10) * columns);
  }
  for (const bool dense_first : {false, true}) {
    CAPTURE(dense_first);
    SUBCASE("rows and all of it, one after the other") {
      const Table t;
      if (dense_first) sum(t.w).backward();
      t.loss().backward();
      if (!dense_first) sum(t.w).backward();
      std::vector<double> right = t.gradient();
      for (double& each : right) each += 1;
      check_close(t.w.grad().to_vector<double>(), right);
    }
    SUBCASE("rows and all of it in one loss") {
      const Table t;
      (dense_first ? sum(t.w) + t.loss() : t.loss() + sum(t.w)).backward();
      std::vector<double> right = t.gradient();
      for (double& each : right) each += 1;
      check_close(t.w.grad().to_vector<double>(), right);
    }
  }
  SUBCASE("to a gradient that somebody else holds") {
    const Table t;
    sum(t.w).backward();
    const Tensor held = t.w.grad();
    t.loss().backward();
    std::vector<double> right = t.gradient();
    for (double& each : right) each += 1;
    check_close(t.w.grad().to_vector<double>(), right);
    CHECK(sum(held).item() == rows * columns);
  }
}

namespace {

// What reads rows of the table in a way of its own, and which rows.
struct Reading {
  const char* name;
  Tensor (*read)(const Tensor& w);
  std::vector<std::int64_t> index;
};

const Reading readings[] = {
    {"single rows", [](const Tensor& w) { return stack({w[7], w[-1], w[7]}); }, {7, 4999, 7}},
    {"select", [](const Tensor& w) { return unsqueeze(select(w, 0, 3), 0); }, {3}},
    {"all columns", [](const Tensor& w) { return stack({w(5, all), w(6, ellipsis)}); }, {5, 6}},
    {"a slice", [](const Tensor& w) { return w[slice(10, 13)]; }, {10, 11, 12}},
    {"one that steps back", [](const Tensor& w) { return w[slice(9, 2, -3)]; }, {9, 6, 3}},
    {"slice()", [](const Tensor& w) { return slice(w, 0, -2, {}); }, {4998, 4999}},
    {"parts", [](const Tensor& w) { return split(w, 500)[2][slice(0, 2)]; }, {}},
    {"a slice and a look-up",
     [](const Tensor& w) { return concat({w[slice(4, 6)], take(w, tensor({5, 1}))}); },
     {4, 5, 5, 1}}};

// Its gradient of sum(read(w) · factors).
std::vector<double> gradient_of(const Reading& reading, const Tensor& factors) {
  std::vector<double> dense(rows * columns);
  const auto from = factors.to_vector<double>();
  for (std::size_t i = 0; i < reading.index.size(); ++i)
    for (std::size_t j = 0; j < columns; ++j)
      dense[static_cast<std::size_t>(reading.index[i]) * columns + j] += from[i * columns + j];
  return dense;
}

}  // namespace

TEST_CASE("rows: slices along the first axis leave rows as look-ups do") {
  for (const Reading& reading : readings) {
    CAPTURE(reading.name);
    const Table t;
    const Tensor read = reading.read(t.w);
    const Tensor factors = randn(read.shape(), f64);
    if (reading.index.empty()) {  // of a slice of rows that are rows themselves, and too many
      sum(read).backward();
      CHECK(sum(t.w.grad()).item() == 2 * columns);
      CHECK(sum(t.w.grad()[slice(1000, 1002)]).item() == 2 * columns);
      continue;
    }
    sum(read * factors).backward();
    CHECK(t.by_rows());
    check_close(t.w.grad().to_vector<double>(), gradient_of(reading, factors));
    t.w.node()->set_grad({}, {});
    check_close(grad(sum(reading.read(t.w) * factors), t.w).to_vector<double>(),
                gradient_of(reading, factors));
  }
}

TEST_CASE("rows: what is no run of whole rows, of the parameter itself, is added to all of it") {
  const Table t;
  const auto dense = [&](const Tensor& read) {
    sum(read).backward();
    CHECK_FALSE(t.by_rows());
    t.w.node()->set_grad({}, {});
  };
  dense(t.w(3, 4));
  dense(t.w(3, slice(0, 2)));
  dense(t.w(newaxis, 3));
  dense(reshape(t.w, {-1})[slice(0, 8)]);
  dense(t.w[slice({}, rows / 2)]);
  sum(t.w[slice(2, 2)]).backward();
  CHECK(sum(t.w.grad()).item() == 0);
}

TEST_CASE("rows: so many parts that all of it costs less") {
  const Table t;
  Tensor total = tensor(0.0, f64);
  // A part costs what 1,024 elements do, so that there are no more than 39 of this table.
  for (int i = 0; i < 400; ++i) total = total + sum(t.w[i % 200]);
  total.backward();
  CHECK_FALSE(t.by_rows());
  for (const int row : {0, 100, 199}) CHECK(sum(t.w.grad()[row]).item() == 2 * columns);
  CHECK(sum(t.w.grad()).item() == 400 * columns);
}

TEST_CASE("rows: recorded gradients of slices and look-ups are one operation's") {
  for (const Reading& reading : readings) {
    if (reading.index.empty()) continue;
    CAPTURE(reading.name);
    const Table t;
    const Tensor read = reading.read(t.w), factors = randn(read.shape(), f64);
    // d/dw Σ f read² = 2 f read at these rows.
    const Tensor g = grad(sum(read * read * factors), t.w, {.create_graph = true});
    check_close(g.to_vector<double>(), gradient_of(reading, 2.0 * factors * read.detach()));
    // d/dw Σ h g = 2 f h at these rows.
    const Tensor h = randn({rows, columns}, f64);
    check_close(grad(sum(h * g), t.w).to_vector<double>(),
                gradient_of(reading, 2.0 * factors * take(h, from_vector(reading.index))));
  }
  // Of an intermediate, with other gradients beside; as numbers, and no node for each.
  const Table t;
  const Tensor v = t.w * 3.0;
  std::vector<Tensor> read;
  for (int i = 0; i < 300; ++i) read.push_back(v[2 * i]);
  const Tensor loss = sum(stack(read)) + sum(v);
  const std::int64_t before = live_nodes();
  loss.backward({.create_graph = true});
  CHECK(live_nodes() - before < 50);
  std::vector<double> right(rows * columns, 3.0);
  for (std::size_t i = 0; i < 300 * columns; ++i)
    right[i / columns * 2 * columns + i % columns] += 3.0;
  check_close(t.w.grad().to_vector<double>(), right);
  Tensor(t.w).zero_grad();
}

TEST_CASE("rows: recorded gradients of parts of rows cost these rows alone") {
  struct Part {
    const char* name;
    std::function<Tensor(const Tensor&)> read;
  };
  const Tensor few = expand(arange(columns), {100, columns});
  const std::vector<Part> parts{
      {"an element", [](const Tensor& w) { return w(7, 3); }},
      {"the end of a row", [](const Tensor& w) { return w(-2, slice(5, {})); }},
      {"parts of rows backwards",
       [](const Tensor& w) { return w(slice(90, 10, -7), slice(1, 7, 2)); }},
      {"a row with a new axis", [](const Tensor& w) { return w(newaxis, 4); }},
      {"a column of rows", [](const Tensor& w) { return w(slice(3, 9), newaxis, 2); }},
      {"gathered from rows",
       [](const Tensor& w) { return gather(w, 0, tensor({{7, 7, 4999}, {0, 7, 12}})); }},
      {"gathered often from few rows", [&](const Tensor& w) { return gather(w, 0, few); }},
      {"gathered from columns",
       [](const Tensor& w) { return gather(w, 1, tensor({{7, 7, 0}, {0, 1, 7}})); }},
  };
  for (const Part& part : parts) {
    CAPTURE(std::string(part.name));
    const Table t;
    const Tensor shape = part.read(t.w).detach(), factors = randn(shape.shape(), f64);
    const Tensor places = part.read(reshape(arange(rows * columns), {rows, columns}));
    const auto at = places.to_vector<std::int64_t>();
    const auto of = [&](const Tensor& per_part) {
      std::vector<double> dense(rows * columns);
      const auto from = per_part.to_vector<double>();
      for (std::size_t i = 0; i < at.size(); ++i) dense[static_cast<std::size_t>(at[i])] += from[i];
      return dense;
    };
    const Tensor read = part.read(t.w);
    const Tensor g = grad(sum(read * read * factors), t.w, {.create_graph = true});
    check_close(g.to_vector<double>(), of(2.0 * factors * shape));
    const Tensor h = randn({rows, columns}, f64);
    check_close(grad(sum(h * g), t.w).to_vector<double>(), of(2.0 * factors * part.read(h)));
  }
  for (const Part& part : parts) {
    CAPTURE(std::string(part.name));
    const Table t;
    std::vector<Tensor> read;
    for (int i = 0; i < 150; ++i) read.push_back(part.read(t.w));
    const Tensor loss = sum(stack(read));
    reset_peak_memory();
    const std::int64_t before = memory_stats().live_bytes;
    const Tensor g = grad(loss, t.w, {.create_graph = true});
    CHECK(memory_stats().peak_bytes - before <
          (rows * columns * 5 / 2 + 3 * 150 * read[0].numel()) * 8);
    CHECK(sum(g).item<double>() == static_cast<double>(150 * read[0].numel()));
  }
}

TEST_CASE("rows: removed and replaced as any gradient") {
  Table t;
  t.loss().backward();
  t.w.zero_grad();
  CHECK_FALSE(t.w.grad().defined());
  t.loss().backward();
  t.w.set_grad(ones({rows, columns}, f64));
  CHECK(sum(t.w.grad()).item() == rows * columns);
  t.loss().backward();
  t.w.set_grad({});
  CHECK_FALSE(t.w.grad().defined());
}

TEST_CASE("rows: what was looked up may change before the gradient is used") {
  const Table t;
  Tensor index = tensor({1, 2});
  sum(take(t.w, index)).backward();
  index.mutable_data<std::int64_t>()[0] = 3;
  const std::vector<double> got = t.w.grad().to_vector<double>();
  CHECK(got[columns] == 1);
  CHECK(got[3 * columns] == 0);
}

TEST_CASE("rows: grad(), create_graph and views of the table are as they were") {
  const Table t;
  check_close(grad(t.loss(), t.w).to_vector<double>(), t.gradient());
  t.loss().backward({.create_graph = true});
  CHECK_FALSE(t.by_rows());
  check_close(t.w.grad().to_vector<double>(), t.gradient());
  t.w.node()->set_grad({}, {});
  sum(take(t.w * 2.0, t.index) * t.factors).backward();  // of an intermediate
  check_close(t.w.grad().to_vector<double>(), t.gradient(2));
}

TEST_CASE("rows: SGD changes these rows as by the whole gradient, and others by all of it") {
  const auto trained = [](auto make, bool dense) {
    Table t;
    auto optimizer = make(std::vector<Tensor>{t.w});
    for (int i = 0; i < 3; ++i) {
      optimizer.zero_grad();
      t.loss().backward();
      if (dense) t.w.grad();
      optimizer.step();
    }
    return t.w.to_vector<double>();
  };
  const auto plain = [](auto p) { return nn::SGD(std::move(p), 0.1); };
  const Table t;
  std::vector<double> right = t.w.to_vector<double>();
  const std::vector<double> gradient = t.gradient();
  for (std::size_t i = 0; i < right.size(); ++i) right[i] -= 0.3 * gradient[i];
  check_close(trained(plain, false), right);
  const auto momentum = [](auto p) { return nn::SGD(std::move(p), 0.1, {.momentum = 0.9}); };
  CHECK(trained(momentum, false) == trained(momentum, true));
  const auto decay = [](auto p) { return nn::SGD(std::move(p), 0.1, {.weight_decay = 0.1}); };
  CHECK(trained(decay, false) == trained(decay, true));
  const auto adam = [](auto p) { return nn::Adam(std::move(p), 0.1); };
  CHECK(trained(adam, false) == trained(adam, true));
}

TEST_CASE("slices: each adds to the place that collects the gradient of the whole") {
  Tensor w = randn({6, 4}, f64).requires_grad_();
  // 1·w[0] + 2·w[1] + … + 6·w[5], and the last column, backwards and each second.
  Tensor total = sum(w(slice({}, {}, -2), -1) * tensor({10.0, 20.0, 30.0}, f64));
  for (int i = 0; i < 6; ++i) total = total + (i + 1.0) * sum(w[i]);
  total.backward();
  std::vector<double> right;
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 4; ++j)
      right.push_back(i + 1 + (j == 3 && i % 2 == 1 ? 10.0 * (3 - i / 2) : 0.0));
  CHECK(w.grad().to_vector<double>() == right);
  const Tensor held = w.grad();  // not to be written to any more
  sum(w[2]).backward();
  CHECK(held.to_vector<double>() == right);
  for (int j = 0; j < 4; ++j) right[static_cast<std::size_t>(8 + j)] += 1;
  CHECK(w.grad().to_vector<double>() == right);
}

TEST_CASE("rows: what many calls add costs what they add") {
  // The memory that one more call needs at its peak, after so many.
  Tensor w = zeros({100'000, 8}).requires_grad_();
  const auto add = [&](std::int64_t i) {
    sum(take(w, tensor({i, i + 1, 3 * i, std::int64_t{7}}))).backward();
  };
  const auto needed = [&](std::int64_t i) {
    reset_peak_memory();
    const std::int64_t before = memory_stats().live_bytes;
    add(i);
    return memory_stats().peak_bytes - before;
  };
  std::int64_t most = 0, calls = 0;
  for (; calls < 20; ++calls) most = std::max(most, needed(calls));
  for (; calls < 600; ++calls) add(calls);
  std::int64_t least = needed(calls++);
  for (int i = 0; i < 10; ++i) least = std::min(least, needed(calls++));
  CHECK(least <= most);
  CHECK(w.node()->grad_rows().part_count() == calls);
  // Once all of the rows would cost more to merge than the table to go through, it is dense.
  for (; calls < 1000; ++calls) add(calls);
  CHECK(w.node()->grad_rows().empty());
  std::vector<float> right(800'000);
  for (std::int64_t i = 0; i < calls; ++i)
    for (const std::int64_t row : {i, i + 1, 3 * i, std::int64_t{7}})
      for (int j = 0; j < 8; ++j) right[static_cast<std::size_t>(row * 8 + j)] += 1;
  CHECK(w.grad().to_vector<float>() == right);
}

namespace {

// Row 2 of a table, with a rule that gives rows as a test says.
struct SecondRow final : Op {
  Tensor index, rows;
  SecondRow() : Op("second_row") {}
  void infer(Inference& call) const override { call.output(f64, {call.in(0).dims()[1]}); }
  void evaluate(Evaluation& call) const override {
    const std::int64_t size = call.out().numel();
    std::copy_n(call.in(0).data<double>() + 2 * size, size, call.out().data<double>());
  }
  void vjp(Vjp& r) const override {
    REQUIRE(r.takes_rows(0, 1));
    r.give_rows(0, index, rows);
  }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("rows: what a rule gives is held to the table") {
  SecondRow op;
  Tensor w = zeros({rows, columns}, f64).requires_grad_();
  for (const bool recorded : {false, true}) {
    CAPTURE(recorded);
    const auto pass = [&](Tensor index, Tensor given) {
      op.index = std::move(index);
      op.rows = std::move(given);
      return [&] {
        w.zero_grad();
        const Tensor loss = sum(apply(op, {&w}, {}, Where::current()));
        if (!recorded) return loss.backward();
        const Tensor g = grad(loss, w, {.create_graph = true});
        CHECK(sum(g).item<double>() == sum(op.rows).item<double>());
      };
    };
    const Tensor row = ones({1, columns}, f64);
    pass(tensor({2}), row)();
    pass(tensor({2}), ones({columns}, f64))();
    pass(tensor({{2}, {3}}), ones({2, 1, columns}, f64))();
    const auto message = [](auto&& error) {
      CHECK(error.starts_with("second_row: its vjp rule gives "));
    };
    message(error_of<IndexError>(pass(tensor({rows}), row)));
    message(error_of<IndexError>(pass(tensor({-1}), row)));
    message(error_of<ShapeError>(pass(tensor({0, 1}), row)));
    message(error_of<ShapeError>(pass(tensor({2}), ones({1, columns + 1}, f64))));
    message(error_of<DTypeError>(pass(tensor({2}), ones({1, columns}, f32))));
    message(error_of<DTypeError>(pass(tensor({2.0}, f64), row)));
    message(error_of<GradError>(pass(Tensor(), row)));
    message(error_of<GradError>(pass(tensor({2}), Tensor())));
  }
}

TEST_SUITE_END();
