#include <chainrule/graph/teaching/hints.hpp>

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/derivation/build.hpp>
#include <chainrule/graph/derivation/notation.hpp>
#include <chainrule/graph/derivation/text.hpp>

namespace chainrule::teaching {

using derivation::Chain;
using derivation::Expr;
using derivation::Expression;
using derivation::Trace;
using Kind = Expression::Kind;

namespace {

// So many places of one tensor are named.
constexpr std::size_t most_users = 3;

// What an operation hands on, for the operations that each textbook has.
const char* rule_of(Role::Kind kind) {
  using enum Role::Kind;
  switch (kind) {
    case sum:
      return "a sum, c = a + b: da = dc and db = dc, summed over the axes along which one was "
             "broadcast";
    case difference:
      return "a difference, c = a − b: da = dc and db = −dc";
    case negation:
      return "a sign, c = −a: da = −dc";
    case product:
      return "an elementwise product, c = a ⊗ b: da = dc ⊗ b and db = dc ⊗ a";
    case quotient:
      return "a quotient, c = a ⊘ b: da = dc ⊘ b and db = −dc ⊗ a ⊘ b²";
    case reciprocal:
      return "an inverse, c = 1 ⊘ a: da = −dc ⊘ a²";
    case square:
      return "a square, c = a²: da = 2 dc ⊗ a";
    case exponential:
      return "an exponential, c = eᵃ: da = dc ⊗ c";
    case logarithm:
      return "a logarithm, c = log a: da = dc ⊘ a";
    case total:
      return "a sum over elements, c = Σ a: every element of a gets dc";
    case mean:
      return "a mean, c = Σ a / N: every element of a gets dc / N";
    case matrix_product:
      return "a product of matrices, C = A·B: dA = dC·Bᵀ and dB = Aᵀ·dC";
    case outer_product:
      return "an outer product, C = a·bᵀ: da = dC·b and db = (dC)ᵀ·a";
    case inner_product:
      return "an inner product, c = aᵀ·b: da = dc b and db = dc a";
    case permutation:
      return "a transpose, C = Aᵀ: dA = (dC)ᵀ";
    case selection:
      return "a choice between a and b: dc goes to the one that was taken, 0 to the other";
    case slice:
      return "a part of a tensor: dc goes to where the part was, 0 to everywhere else";
    case scatter:
      return "a tensor put into zeros: the part of dc at its place";
    case join:
      return "tensors one behind the other: each gets its part of dc";
    case reshape:
    case copy:
      return "the same elements in another arrangement: each gets what arrives at its places";
    default:
      return nullptr;
  }
}

class Hints {
 public:
  Hints(Listing& listing, const Chain::Link& link)
      : listing_(listing), trace_(listing.trace()), link_(link) {
    const Shape& shape = trace_.node(link.of).shape();
    gradient_ = listing.text(derivation::gradient_expression(link.of, shape));
  }

  std::string tensors() {
    std::vector<std::string> equations, symbols;
    const std::vector<std::uint32_t>& users = listing_.users(link_.of);
    for (std::size_t k = 0; k < std::min(users.size(), most_users); ++k)
      equations.push_back(listing_.equation(users[k]));
    if (users.size() > most_users) equations.emplace_back("…");
    derivation::visit_parts(link_.formula(), [&](const Expr& part) {
      const std::string name = listing_.text(part);
      if (part->kind == Kind::gradient && std::ranges::find(symbols, name) == symbols.end())
        symbols.push_back(name);
    });
    const std::string from =
        symbols.empty() ? "the formula needs no other gradient"
                        : fmt::format("what arrives is in {}", detail::joined(symbols, ", "));
    return fmt::format("{} stands in {}; {}.", listing_.names().tensor(link_.of),
                       detail::joined(equations, ", "), from);
  }

  std::string rule() {
    // The operation that the tensor goes into first.
    for (std::uint32_t j = 0; j < trace_.size(); ++j) {
      const Expr& forward = trace_.forward(j);
      if (forward && takes(*forward, link_.of)) return rule_of_operation(forward);
    }
    return "The gradients of all places where it stands are added.";
  }

  std::string form() {
    const std::string shape = to_string(trace_.node(link_.of).shape());
    const std::string first = listing_.text(link_.forms.front().expression);
    if (first != listing_.text(link_.formula())) {
      std::string reasons;
      for (const derivation::Stage& form : link_.forms)
        for (const derivation::Reason& reason : form.reasons)
          if (!reason.words.empty()) reasons += (reasons.empty() ? "" : ", ") + reason.words;
      return fmt::format("The rules give {}, which gets shorter{}{}. {} has the shape {}.", first,
                         reasons.empty() ? "" : " since ", reasons, gradient_, shape);
    }
    if (link_.formula()->is_symbol())
      return fmt::format("It is one tensor as it stands, of the shape {}.", shape);
    return fmt::format("{} = {}, of the shape {}.", gradient_, with_a_blank(), shape);
  }

 private:
  // Whether a tensor goes into an operation, perhaps transposed.
  static bool takes(const Expression& operation, std::uint32_t tensor) {
    return std::ranges::any_of(operation.operands, [&](const Expr& operand) {
      const Expression* e = operand.get();
      if (e && e->is(Role::Kind::permutation)) e = e->operands[0].get();
      return e && e->kind == Kind::tensor && e->node == tensor;
    });
  }

  std::string rule_of_operation(const Expr& operation) {
    const Op& op = *operation->op();
    if (const char* rule = rule_of(operation->role().kind))
      return fmt::format("The rule of {}.", rule);
    if (op.elementwise() && operation->operands.size() == 1) {
      const std::string slope = derivation::slope_name(*operation->application);
      return fmt::format("The rule of a function of each element, c = {}(a): da = dc ⊗ {}(a).",
                         slope.substr(0, slope.size() - 1), slope);
    }
    // x·Wᵀ + b in one operation.
    std::string rule;
    if (const Expr simpler = derivation::in_simpler_operations(operation, trace_.environment()))
      derivation::visit_parts(simpler, [&](const Expr& part) {
        const bool known = part->is(Role::Kind::matrix_product) || part->is(Role::Kind::sum);
        if (known && takes(*part, link_.of))
          rule = fmt::format("The rule of {}.", rule_of(part->role().kind));
      });
    if (!rule.empty()) return rule;
    return fmt::format("The rule of {}: each of its results depends on all that it was given.",
                       op.name());
  }

  // The formula without its last tensor.
  std::string with_a_blank() {
    const Expr formula = listing_.written_out(link_.formula());
    const Expression* last = nullptr;
    derivation::visit_parts(formula, [&](const Expr& part) {
      if (part->kind == Kind::tensor) last = part.get();
    });
    const auto name = [&](const Expression& symbol) -> std::string {
      return &symbol == last ? "▢" : listing_.names().symbol(symbol);
    };
    return derivation::text_of(formula, name, derivation::Format::unicode, trace_.derivative());
  }

  Listing& listing_;
  const Trace& trace_;
  const Chain::Link& link_;
  std::string gradient_;
};

}  // namespace

std::vector<std::string> hints_for(Listing& listing, const Chain::Link& link) {
  Hints hints(listing, link);
  return {hints.tensors(), hints.rule(), hints.form()};
}

}  // namespace chainrule::teaching
