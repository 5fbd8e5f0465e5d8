#include <chainrule/core/call.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

TEST_CASE("apply: what an op does not have is named, and how much there is") {
  enum Kind : std::int64_t { fine, in_9, out_3, saved_4, saved_0, many_inputs, many_saved };
  struct Short final : Op {
    Short() : Op("short") {}
    void infer(Inference& call) const override { call.output_like(f64, call.in(0)); }
    void evaluate(Evaluation& call) const override { kernels::copy(call.out(), call.in(0)); }
    Node::SavedMask reads(const Call& call) const override {
      const auto kind = call.parameters<Kind>();
      return kind == many_inputs  ? Node::input(48)
             : kind == many_saved ? Node::intermediate(8)
                                  : Node::input(0);
    }
    void vjp(Vjp& r) const override {
      switch (r.parameters<Kind>()) {
        case in_9:
          return r.give(0, r.in(9));
        case out_3:
          return r.give(0, r.out(3));
        case saved_4:
          return r.give(0, r.saved(4));
        case saved_0:
          return r.give(0, r.saved(0));
        default:
          return r.give(0, r.g() * static_cast<double>(r.parameters<std::int32_t>()));
      }
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  struct Bare final : Op {
    Bare() : Op("bare") {}
    std::vector<Sample> samples() const override { return {}; }
  };
  const Short op;
  const Bare bare;
  const Tensor x = tensor({1.0, 2.0}, f64).requires_grad_();
  const Where here = Where::current();
  const auto message = [&](Kind kind) {
    return error_of<GradError>([&] { grad(sum(apply(op, {&x}, kind, here)), x); });
  };
  const std::string place = fmt::format("\n  at {}:{}", here.file_name(), here.line());
  CHECK(message(in_9) == "short: the gradient rule reads in(9), and there is 1, counted from 0" +
                             place +
                             "\n  hint: in(i) is an operand that the op was applied to, out(k) a "
                             "result");
  CHECK(message(out_3).starts_with(
      "short: the gradient rule reads out(3), and there is 1, counted from 0" + place));
  CHECK(message(saved_4).starts_with(
      "short: the gradient rule reads saved(4), which the op does not save" + place));
  CHECK(message(saved_0).starts_with(
      "short: the gradient rule reads saved(0), which the op does not save" + place));
  CHECK(message(fine).starts_with(
      "short: asks for parameters of 4 bytes, but was applied with 8 bytes" + place));
  CHECK(
      error_of<GradError>([&] {
        apply(op, {&x}, {}, here);
      }).starts_with("short: asks for parameters of 8 bytes, but was applied without any" + place));
  const std::string beyond =
      "short: reads() names more than a node keeps: the first 48 operands, 8 results and 8 saved "
      "values" +
      place;
  CHECK(message(many_inputs).starts_with(beyond));
  CHECK(message(many_saved).starts_with(beyond));
  CHECK(error_of<GradError>([&] { apply(bare, {&x}, {}, here); })
            .starts_with("bare: the op has no infer(), which says its results: it can neither be "
                         "applied nor computed again" +
                         place));
  struct Two final : Op {
    Two() : Op("two") {}
    void infer(Inference& call) const override {
      for (int k = 0; k < 2; ++k) call.output_like(f64, call.in(0));
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Two two;
  const std::string several = error_of<GradError>([&] { apply(two, {&x}, {}, here); });
  CHECK(several.starts_with("two: apply() gives one result, but infer() says 2" + place));
  CHECK(several.find("apply_several(") != std::string::npos);
}

TEST_CASE("apply: evaluate() that asks for what the call does not have is an error") {
  enum Asked : std::int64_t {
    tensor_5,
    in_5,
    in_ref_5,
    in_1,
    in_ref_1,
    out_1,
    out_ref_1,
    saved_1,
    saved_ref_1,
    nothing
  };
  struct Asking final : Op {
    Asking() : Op("asking") {}
    void infer(Inference& call) const override {
      call.output_like(f64, call.in(0));
      call.saves(f64, {1});
    }
    void evaluate(Evaluation& call) const override {
      CHECK_FALSE(call.knows(40));
      switch (call.parameters<Asked>()) {
        case tensor_5:
          return static_cast<void>(call.tensor(5));
        case in_5:
          return static_cast<void>(call.in(5));
        case in_ref_5:
          return static_cast<void>(call.in_ref(5));
        case in_1:
          return static_cast<void>(call.in(1));
        case in_ref_1:
          return static_cast<void>(call.in_ref(1));
        case out_1:
          return static_cast<void>(call.out(1));
        case out_ref_1:
          return static_cast<void>(call.out_ref(1));
        case saved_1:
          return static_cast<void>(call.saved(1));
        case saved_ref_1:
          return static_cast<void>(call.saved_ref(1));
        case nothing:
          CHECK_FALSE(call.tensor(1).defined());
          return kernels::copy(call.out(), call.in(0));
      }
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Asking op;
  const Tensor x = tensor({1.0, 2.0}, f64), left_out;
  const Where here = Where::current();
  const std::string place = fmt::format("\n  at {}:{}\n  hint: ", here.file_name(), here.line());
  const auto applied = [&](Asked asked) { return apply(op, {&x, &left_out}, asked, here); };
  CHECK(applied(nothing).at({1}) == 2);
  for (const Asked beyond : {tensor_5, in_5, in_ref_5})
    CHECK(error_of<ValueError>([&] {
            applied(beyond);
          }).starts_with("asking: asks for operand 5, but was applied to 2" + place));
  for (const Asked without : {in_1, in_ref_1})
    CHECK(error_of<ValueError>([&] {
            applied(without);
          }).starts_with("asking: operand 1 is an undefined tensor" + place));
  for (const Asked beyond : {out_1, out_ref_1})
    CHECK(error_of<GradError>([&] { applied(beyond); })
              .starts_with("asking: evaluate() asks for out(1), but infer() says 1 result, counted "
                           "from 0" +
                           place));
  for (const Asked beyond : {saved_1, saved_ref_1})
    CHECK(error_of<GradError>([&] { applied(beyond); })
              .starts_with("asking: evaluate() asks for saved(1), but infer() says 1 saved value, "
                           "counted from 0" +
                           place));
}

TEST_CASE("apply: a view that leaves the memory of its operand is an error") {
  struct Window {
    std::int64_t extent, stride, offset, more_axes;
  };
  struct Windowed final : Op {
    Windowed() : Op("windowed") {}
    void infer(Inference& call) const override {
      const auto w = call.parameters<Window>();
      const Shape strides = w.more_axes ? Shape{w.stride, 1} : Shape{w.stride};
      call.view(0, {w.extent}, strides, w.offset);
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Windowed windowed;
  const Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, f64);
  const auto at = [&](const Tensor& of, Window window) {
    return apply(windowed, {&of}, window, Where::current());
  };
  CHECK(at(x, {2, 2, 1, 0}).to_vector<double>() == std::vector<double>{2, 4});
  CHECK(at(x, {4, -1, 3, 0}).to_vector<double>() == std::vector<double>{4, 3, 2, 1});
  CHECK(at(x, {3, 0, 3, 0}).to_vector<double>() == std::vector<double>{4, 4, 4});
  CHECK(at(x, {0, 1, 99, 0}).numel() == 0);
  // Of a view all of the memory is there.
  CHECK(at(at(x, {2, 1, 2, 0}), {2, 1, -2, 0}).to_vector<double>() == std::vector<double>{1, 2});
  for (const Window outside :
       {Window{5, 1, 0, 0}, Window{2, 1, 3, 0}, Window{2, -1, 0, 0}, Window{1, 1, -1, 0},
        Window{2, 1, 0, 1}, Window{3, std::int64_t{1} << 62, 0, 0}})
    CHECK(
        error_of<ShapeError>([&] { at(x, outside); }).starts_with("windowed: infer() says a view"));
}

TEST_CASE("apply: a result with a negative extent is one, and with too many elements another") {
  struct Shaped final : Op {
    Shaped() : Op("shaped") {}
    void infer(Inference& call) const override {
      const auto& shape = call.parameters<std::array<std::int64_t, 3>>();
      call.output(f32, Shape(std::span(shape)));
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Shaped shaped;
  using Extents = std::array<std::int64_t, 3>;
  const Tensor x = ones({2});
  const auto message = [&](Extents extents) {
    return error_of<ShapeError>([&] { apply(shaped, {&x}, extents, Where::current()); });
  };
  CHECK(message({2, -3, 1}) ==
        "shaped: the result (2, -3, 1) has a negative extent\n  at HERE\n  hint: infer() counts "
        "extents from 0");
  const std::int64_t many = std::int64_t{1} << 62;
  for (const Extents& extents : {Extents{many, 8, 1}, Extents{many, 8, 0}, Extents{0, many, 8}})
    CHECK(message(extents).find("has more elements than can be counted\n  at HERE") !=
          std::string::npos);
}

TEST_CASE("apply: a view has as many elements as can be counted") {
  struct Repeated final : Op {
    Repeated() : Op("repeated") {}
    void infer(Inference& call) const override {
      const auto& shape = call.parameters<std::array<std::int64_t, 3>>();
      call.view(0, Shape(std::span(shape)), {0, 0, 0}, 0);
    }
    std::vector<Sample> samples() const override { return {}; }
  };
  const Repeated repeated;
  using Extents = std::array<std::int64_t, 3>;
  const Tensor x = tensor({1.0, 2.0}, f64);
  const auto to = [&](Extents extents) { return apply(repeated, {&x}, extents, Where::current()); };
  CHECK(sum(to({2, 3, 4})).item() == 24);
  CHECK(to({std::int64_t{1} << 59, 1, 1}).numel() == std::int64_t{1} << 59);
  CHECK(to({5, 0, 7}).numel() == 0);
  for (const Extents& extents :
       {Extents{std::int64_t{1} << 62, 8, 1}, Extents{(std::int64_t{1} << 61) + 1, 8, 1},
        Extents{(std::int64_t{1} << 59) + 1, 1, 1}, Extents{std::int64_t{1} << 62, 8, 0},
        Extents{0, std::int64_t{1} << 62, 8}})
    CHECK(error_of<ShapeError>([&] {
            to(extents);
          }).find("has more elements than can be counted") != std::string::npos);
  for (const Extents& extents : {Extents{-3, 1, 1}, Extents{-3, -2, 1}, Extents{0, -1, 1}})
    CHECK(error_of<ShapeError>([&] { to(extents); }).starts_with("repeated: infer() says a view"));
}

TEST_SUITE_END();
