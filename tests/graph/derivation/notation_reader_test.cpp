#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <chainrule/core/create.hpp>
#include <chainrule/graph/derivation/derive.hpp>
#include <chainrule/ops/define.hpp>
#include <chainrule/ops/elementwise/arithmetic.hpp>
#include <chainrule/ops/elementwise/functions.hpp>
#include <chainrule/ops/linalg/matmul.hpp>
#include <chainrule/ops/reduce/reduction.hpp>
#include <chainrule/ops/shape/manipulation.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("graph");

namespace {

// 2 x under notations of its own.
struct Twice final : UnaryOp<Twice> {
  explicit Twice(const char* notation) : UnaryOp("print_twice", notation) {}
  static constexpr bool integers = false;
  static constexpr Node::SavedMask saved = 0;
  template <class T>
  static T value(T x) {
    return 2 * x;
  }
  static Tensor slope(const Application&, const Tensor& g) { return 2.0 * g; }
  std::vector<Sample> samples() const override { return {}; }
};

}  // namespace

TEST_CASE(
    "print: what a sign between two makes has parentheses within products, quotients, powers") {
  const Tensor A = full({2, 3}, 0.3, f64).named("A").requires_grad_();
  const Tensor c = full({2, 3}, 0.5, f64).named("c"), W = full({3, 2}, 0.25, f64).named("W");
  using Use = Tensor (*)(const Tensor& y, const Tensor& c, const Tensor& W);
  const Use in_sum = [](const Tensor& y, const Tensor& c, const Tensor&) { return c - y; };
  const Use in_product = [](const Tensor& y, const Tensor& c, const Tensor&) { return y * c; };
  const Use over = [](const Tensor& y, const Tensor& c, const Tensor&) { return y / c; };
  const Use under = [](const Tensor& y, const Tensor& c, const Tensor&) { return c / y; };
  const Use raised = [](const Tensor& y, const Tensor&, const Tensor&) { return square(y); };
  const Use negated = [](const Tensor& y, const Tensor&, const Tensor&) { return -y; };
  const Use before = [](const Tensor& y, const Tensor&, const Tensor& W) { return matmul(y, W); };
  const Use turned = [](const Tensor& y, const Tensor&, const Tensor&) { return y.T(); };
  // What is shown of y where it is an operand.
  const auto shown = [&](const char* notation, Use use) {
    const Twice op(notation);
    const Tensor t = use(op(A, Where::current()), c, W);
    const std::string text = derive(sum(exp(t)), {t}).text({.limits = false});
    const std::string begin = "where t1 = ";
    return text.substr(text.find(begin) + begin.size());
  };
  const auto begins = [&](const char* notation, Use use, std::string_view with) {
    const std::string text = shown(notation, use);
    CAPTURE(text);
    CHECK(text.starts_with(std::string(with) + "\n"));
  };
  for (const std::string sign : {"mod 3", "div 2", "∘ 2", "& 3", "% n", "rem (k)"}) {
    const std::string notation = "{0} " + sign, y = "A " + sign;
    CAPTURE(notation);
    begins(notation.c_str(), in_sum, "c − " + y);
    begins(notation.c_str(), in_product, "(" + y + ") ⊗ c");
    begins(notation.c_str(), over, "(" + y + ") ⊘ c");
    begins(notation.c_str(), under, "c ⊘ (" + y + ")");
    begins(notation.c_str(), raised, "(" + y + ")²");
    begins(notation.c_str(), negated, "−(" + y + ")");
    begins(notation.c_str(), before, "(" + y + ")·W");
    begins(notation.c_str(), turned, "(" + y + ")ᵀ");
  }
  begins("{0} ⊘ 2", in_product, "A ⊘ 2 ⊗ c");
  begins("{0} ⊘ 2", before, "(A ⊘ 2)·W");
  begins("{0} ⊘ 2", under, "c ⊘ (A ⊘ 2)");
  begins("{0} · 3", before, "A · 3·W");
  begins("{0}∘2", in_product, "(A∘2) ⊗ c");
  begins("3 mod {0}", in_product, "(3 mod A) ⊗ c");
  begins("|{0}| mod 3", in_product, "(|A| mod 3) ⊗ c");
  begins("f({0}) mod 3", in_product, "(f(A) mod 3) ⊗ c");
  begins("{0}² mod 3", in_product, "(A² mod 3) ⊗ c");
  begins("{0} = 1", in_sum, "c − (A = 1)");
  begins("{0}, 1", in_sum, "c − (A, 1)");
  // Signs at an end have one operand, and what is raised is no sign.
  begins("{0}!", in_product, "A! ⊗ c");
  begins("{0}⁺", before, "A⁺·W");
  begins("{0}⁻¹", in_product, "A⁻¹ ⊗ c");
  begins("{0}^3", in_product, "A^3 ⊗ c");
  begins("{0}! + 1", in_product, "(A! + 1) ⊗ c");
  begins("2/√π {0}", in_product, "2/√π A ⊗ c");
  begins("∂{0}", in_product, "∂A ⊗ c");
  // Of operands of its own kind.
  const auto twice = [&](const char* notation) {
    const Twice op(notation);
    const Tensor y = op(op(A, Where::current()), Where::current());
    const std::string text = derive(sum(exp(y)), {y}).text({.limits = false});
    return text.substr(text.find("t1 = ", text.find("where")));
  };
  CHECK(twice("{0} mod 3").starts_with("t1 = (A mod 3) mod 3\n"));
  CHECK(twice("{0} = 1").starts_with("t1 = (A = 1) = 1\n"));
  CHECK(twice("{0} ∧ p").starts_with("t1 = A ∧ p ∧ p\n"));
  CHECK(twice("{0} ∧ p ∨ q").starts_with("t1 = (A ∧ p ∨ q) ∧ p ∨ q\n"));
}

TEST_CASE("print: a word between two in LaTeX, in HTML and of one element") {
  const Twice op("{0} mod 3");
  const Tensor A = full({2, 3}, 0.5, f64).named("A").requires_grad_();
  const Derivation derivation = derive(sum(square(op(A, Where::current()))), {A});
  const auto has = [](const std::string& text, std::string_view part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(derivation.text(), "dA = 4 (A mod 3)\n");
  has(derivation.text({.indices = true}), "dAᵢⱼ = 4 (Aᵢⱼ mod 3)\n");
  has(derivation.latex(), "4 \\left(A \\operatorname{mod} 3\\right)");
  has(derivation.html(),
      "<mn>4</mn><mrow><mo>(</mo><mi>A</mi><mi>mod</mi><mn>3</mn><mo>)</mo></mrow>");
}

TEST_SUITE_END();
