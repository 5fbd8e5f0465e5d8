#include <chainrule/graph/emission/identifiers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace chainrule::emission {

namespace {

constexpr std::string_view keywords[] = {"alignas",      "alignof",   "and",
                                         "and_eq",       "asm",       "auto",
                                         "bitand",       "bitor",     "bool",
                                         "break",        "case",      "catch",
                                         "char",         "char8_t",   "char16_t",
                                         "char32_t",     "class",     "compl",
                                         "concept",      "const",     "consteval",
                                         "constexpr",    "constinit", "const_cast",
                                         "continue",     "co_await",  "co_return",
                                         "co_yield",     "decltype",  "default",
                                         "delete",       "do",        "double",
                                         "dynamic_cast", "else",      "enum",
                                         "explicit",     "export",    "extern",
                                         "false",        "float",     "for",
                                         "friend",       "goto",      "if",
                                         "inline",       "int",       "long",
                                         "mutable",      "namespace", "new",
                                         "noexcept",     "not",       "not_eq",
                                         "nullptr",      "operator",  "or",
                                         "or_eq",        "private",   "protected",
                                         "public",       "register",  "requires",
                                         "return",       "short",     "signed",
                                         "sizeof",       "static",    "static_assert",
                                         "static_cast",  "struct",    "switch",
                                         "template",     "this",      "thread_local",
                                         "throw",        "true",      "try",
                                         "typedef",      "typeid",    "typename",
                                         "union",        "unsigned",  "using",
                                         "virtual",      "void",      "volatile",
                                         "wchar_t",      "while",     "xor",
                                         "xor_eq",       "std",       "Eigen",
                                         "main",         "NULL",      "reinterpret_cast"};

// What the emitted files say themselves.
constexpr std::string_view ours[] = {"MatrixXd",      "VectorXd",
                                     "ArrayXXd",      "Parameters",
                                     "Data",          "Forward",
                                     "forward",       "Gradients",
                                     "backward",      "predict",
                                     "result",        "parameters",
                                     "data",          "trained_parameters",
                                     "recorded_data", "matrix",
                                     "vector",        "difference",
                                     "doctest",       "sigmoid",
                                     "log_sigmoid",   "softplus",
                                     "softmax",       "log_softmax",
                                     "exp",           "log",
                                     "sqrt",          "tanh",
                                     "pow",           "abs"};

constexpr std::pair<std::string_view, std::string_view> letters[] = {
    {"α", "alpha"}, {"β", "beta"},   {"γ", "gamma"},  {"δ", "delta"}, {"ε", "epsilon"},
    {"ζ", "zeta"},  {"η", "eta"},    {"θ", "theta"},  {"κ", "kappa"}, {"λ", "lambda"},
    {"μ", "mu"},    {"ν", "nu"},     {"ξ", "xi"},     {"π", "pi"},    {"ρ", "rho"},
    {"σ", "sigma"}, {"τ", "tau"},    {"φ", "phi"},    {"χ", "chi"},   {"ψ", "psi"},
    {"ω", "omega"}, {"Γ", "Gamma"},  {"Δ", "Delta"},  {"Θ", "Theta"}, {"Λ", "Lambda"},
    {"Σ", "Sigma"}, {"Φ", "Phi"},    {"Ψ", "Psi"},    {"Ω", "Omega"}, {"ŷ", "y_hat"},
    {"x̂", "x_hat"}, {"'", "_prime"}, {"′", "_prime"}, {"ᵀ", "_T"}};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Identifiers::Identifiers() {
  taken_.insert(std::begin(keywords), std::end(keywords));
  taken_.insert(std::begin(ours), std::end(ours));
}

bool Identifiers::is_valid(std::string_view name) {
  if (name.empty() || !(is_letter(name[0]) || name[0] == '_')) return false;
  if (std::ranges::find(keywords, name) != std::end(keywords)) return false;
  return std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

std::string Identifiers::make(std::string_view name) {
  std::string text;
  const auto underscore = [&] {
    if (!text.empty() && text.back() != '_') text += '_';
  };
  while (!name.empty()) {
    const auto* letter = std::ranges::find_if(
        letters, [&](const auto& pair) { return name.starts_with(pair.first); });
    if (letter != std::end(letters)) {
      std::string_view spelled = letter->second;
      if (spelled[0] == '_' && (text.empty() || text.back() == '_')) spelled.remove_prefix(1);
      text += spelled;
      name.remove_prefix(letter->first.size());
      continue;
    }
    if (is_letter(name[0]) || is_digit(name[0]))
      text += name[0];
    else
      underscore();
    name.remove_prefix(1);
  }
  while (text.ends_with('_')) text.pop_back();
  if (text.empty()) text = "x";
  if (is_digit(text[0])) text = "layer_" + text;
  std::string candidate = text;
  if (!is_valid(text)) candidate = text += '_';  // a keyword
  for (int k = 2; !taken_.insert(candidate).second; ++k) candidate = fmt::format("{}_{}", text, k);
  return candidate;
}

}  // namespace chainrule::emission
