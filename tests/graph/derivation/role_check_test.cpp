// An op that says a role which it does not have is named in an error, or is shown as what it said;
// nothing that reads roles takes harm.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/backward.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/graph/emission/emit.hpp>
#include <chainrule/graph/picture/picture.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/elementwise/select.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// A result of a shape that nobody expects of the role: 2, 3, 4 … in every element.
struct Claims final : Op {
  Role says;
  Shape shape;
  Claims(const Role& role, const Shape& of) : Op("claims"), says(role), shape(of) {}
  void infer(Inference& call) const override { call.output(f64, shape); }
  void evaluate(Evaluation& call) const override {
    for (std::int64_t i = 0; i < call.out().numel(); ++i)
      call.out().data<double>()[i] = static_cast<double>(2 + i);
  }
  void vjp(Vjp& r) const override {
    for (std::size_t i = 0; i < r.input_count(); ++i)
      if (r.needs(i)) r.give(i, full(r.shape_of(i), 0.5, f64) * sum(r.g()));
  }
  Role role(const Parameters&) const override { return says; }
  EigenForm eigen(const Parameters&) const override {
    return {.kind = EigenForm::Kind::elementwise, .array = "{0}", .scalar = "{0}"};
  }
  std::vector<Sample> samples() const override { return {}; }
};

std::vector<Role> wrong_roles() {
  std::vector<Role> roles;
  for (int k = 0; k <= static_cast<int>(Role::Kind::inner_product); ++k)
    roles.emplace_back(static_cast<Role::Kind>(k));
  Role turned = Role::Kind::matrix_product;
  turned.transposed[0] = turned.transposed[1] = true;
  Role swapped = Role::Kind::permutation;
  swapped.swaps_axes = true;
  Role swapped_other = Role::Kind::other;
  swapped_other.swaps_axes = true;
  Role second = Role::Kind::logarithm;
  second.argument = 2;
  roles.insert(roles.end(), {turned, swapped, swapped_other, second});
  return roles;
}

std::string error_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// The error of the first reader of roles that has one.
std::string complaint(const Op& op, const std::vector<Tensor>& operands) {
  std::vector<const Tensor*> inputs;
  for (const Tensor& operand : operands) inputs.push_back(&operand);
  const Tensor made = apply(op, inputs, {}, Where::current());
  const Tensor loss = sum(square(made));
  std::string all = error_of([&] { derive(loss).text(); });
  all += error_of([&] { graph_svg(loss); });
  all += error_of([&] { emit_cpp(loss); });
  return all;
}

}  // namespace

TEST_CASE("roles: none that an op says wrongly does harm") {
  const Shape shapes[] = {{}, {3}, {2, 3}, {1, 1}, {0, 2}, {2, 2, 2}};
  const Shape results[] = {{}, {3}, {7}, {2, 3}, {3, 2}, {2, 0}, {2, 3, 2}};
  int named = 0;
  for (const Role& role : wrong_roles())
    for (const Shape& result : results) {
      const Claims op(role, result);
      for (const Shape& shape : shapes)
        for (std::size_t count = 1; count <= 3; ++count)
          for (const bool left_out : {false, true}) {
            std::vector<Tensor> operands(left_out ? 1 : 0);
            for (std::size_t k = operands.size(); k < count + (left_out ? 1 : 0); ++k)
              operands.push_back(full(shape, 0.25, f64).requires_grad_());
            const std::string message = complaint(op, operands);
            CAPTURE(message);
            const bool of_three_axes = message.starts_with("emit_cpp: square works on (2, 3, 2)");
            if (message.empty() || of_three_axes) continue;
            CHECK(message.find("claims") < message.find('\n'));
            ++named;
          }
    }
  CHECK(named > 1000);
}

TEST_CASE("roles: the error names op, role, shapes, line and remedy") {
  const Tensor x = tensor({{0.5, -1.0, 2.0}, {1.5, 0.1, -0.7}}, f64).requires_grad_();
  const Tensor v = tensor({0.5, -1.0, 2.0}, f64).requires_grad_();
  const auto message = [](const Role& role, const Shape& result, const std::vector<Tensor>& of) {
    return complaint(Claims(role, result), of);
  };
  const std::string scattered = message(Role::Kind::scatter, {2}, {v});
  CAPTURE(scattered);
  CHECK(scattered.starts_with("claims: its role() says scatter, but it makes (2,) of (3,)\n  at "));
  CHECK(scattered.find("role_check_test.cpp:") != std::string::npos);
  CHECK(scattered.find("say another role, or none") != std::string::npos);
  CHECK(message(Role::Kind::matrix_product, {2, 2}, {x, x})
            .starts_with("claims: its role() says matrix_product, but it makes (2, 2) of (2, 3), "
                         "(2, 3)"));
  CHECK(message(Role::Kind::sum, {3}, {Tensor(), v})
            .starts_with("claims: its role() says sum, but it was applied without operand 0"));
  CHECK(message(Role::Kind::sum, {3}, {v})
            .starts_with("claims: its role() takes 2 operands, but it has 1"));
  // Of the right shape, and no move: found where code is to be written.
  using enum Role::Kind;
  for (const Role::Kind move : {copy, permutation, reshape, slice, scatter, join}) {
    const std::string moved = message(move, {3}, {v});
    CAPTURE(moved);
    CHECK(moved.starts_with("claims: its role() says "));
    CHECK(moved.find("role_check_test.cpp:") != std::string::npos);
  }
  // Nor what arithmetic it says.
  for (const Role::Kind kind :
       {sum, difference, negation, product, quotient, reciprocal, conversion}) {
    const bool of_two = Role(kind).operands() == 2;
    const std::string other = message(kind, {3}, of_two ? std::vector{v, v} : std::vector{v});
    CAPTURE(other);
    CHECK(other.starts_with("claims: its role() says "));
    CHECK(other.find("but it computes something else\n  at ") != std::string::npos);
  }
  CHECK(message(slope, {3}, {v, v})
            .starts_with("claims: its role() says slope, but names no function whose slope it is: "
                         "Role::slope_of(function)\n"));
  CHECK(message(comparison, {3}, {v, v})
            .starts_with("claims: its role() says comparison, but it makes f64\n"));
  CHECK(message(negation, {3}, {v, v})
            .starts_with("claims: its role() says negation, but it was applied to 2 operands\n"));
  const Tensor w = tensor({0.5, -1.0}, f64).requires_grad_();
  CHECK(message(matrix_product, {2}, {x, v}).find("it computes something else") !=
        std::string::npos);
  CHECK(message(outer_product, {3, 2}, {v, w}).find("it computes something else") !=
        std::string::npos);
  CHECK(message(inner_product, {}, {v, v}).find("it computes something else") != std::string::npos);
}

namespace {

// What is x² of positive numbers alone, or x + y of small ones alone.
struct Signed final : UnaryOp<Signed> {
  Signed() : UnaryOp("signed_square") {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = Node::input(0);
  template <class T>
  static T value(T x) {
    return x < 0 ? -x * x : x * x;
  }
  static Tensor slope(const Application& r, Tensor g) { return 2.0 * g * r.in(0); }
  Role role(const Parameters&) const override { return Role::Kind::square; }
  std::vector<Sample> samples() const override { return {}; }
};

struct Magnitudes final : Op {
  Magnitudes() : Op("magnitudes") {}
  void infer(Inference& call) const override { call.output(f64, {}); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    *call.out().data<double>() = sum(abs(call.tensor(0))).item<double>();
  }
  void vjp(Vjp& r) const override { r.give(0, expand(r.g(), r.shape_of(0))); }
  Role role(const Parameters&) const override { return Role::Kind::total; }
  std::vector<Sample> samples() const override { return {}; }
};

// The other one of two.
struct Exchanged final : Op {
  Exchanged() : Op("exchanged") {}
  void infer(Inference& call) const override { call.output_like(f64, call.in(1)); }
  void evaluate(Evaluation& call) const override {
    const NoGrad guard;
    kernels::copy(call.out(), *where(call.tensor(0), call.tensor(2), call.tensor(1)).value_ref());
  }
  Node::SavedMask reads(const Call&) const override { return Node::input(0); }
  void vjp(Vjp& r) const override {
    r.give(1, where(r.in(0), 0.0, r.g()));
    r.give(2, where(r.in(0), r.g(), 0.0));
  }
  Role role(const Parameters&) const override { return Role::Kind::selection; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE("roles: a selection takes the first where the condition holds") {
  const Exchanged exchanged;
  const Tensor x = tensor({0.4, -1.2, 0.7}, f64).requires_grad_(), y = x.detach() * 3.0;
  const Tensor holds = x.detach() > 0.0;
  const Tensor chosen = apply(exchanged, {&holds, &x, &y}, {}, Where::current());
  CHECK(error_of([&] {
          emit_cpp(sum(square(chosen)));
        }).starts_with("exchanged: its role() says selection, but it computes something else"));
  CHECK(error_of([&] { derive(sum(square(where(holds, x, y)))); }).empty());
}

TEST_CASE("roles: what holds of some numbers alone is none") {
  const Signed square_of;
  const Magnitudes magnitudes;
  const Tensor x = tensor({0.4, 1.2, 0.7}, f64).named("x").requires_grad_();
  const Tensor squares = square_of(x, Where::current());
  CHECK(error_of([&] {
          derive(sum(squares));
        }).starts_with("signed_square: its role() says square, but it computes something else"));
  const Tensor sizes = apply(magnitudes, {&x}, {}, Where::current());
  CHECK(error_of([&] {
          emit_cpp(square(sizes));
        }).starts_with("magnitudes: its role() says total, but it computes something else"));
}

TEST_SUITE_END();
