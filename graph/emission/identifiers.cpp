#include <chainrule/graph/emission/identifiers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/op.hpp>
#include <chainrule/graph/emission/helpers.hpp>

namespace chainrule::emission {

namespace {

using detail::is_digit;
using detail::is_letter;

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
constexpr std::string_view ours[] = {
    "MatrixXd", "VectorXd", "Parameters", "Data", "Forward", "forward", "Gradients", "backward",
    "predict", "result", "parameters", "data", "trained_parameters", "recorded_data", "matrix",
    "equal", "doctest",
    // Macros of the standard library and of doctest.
    "NAN", "INFINITY", "HUGE_VAL", "HUGE_VALF", "HUGE_VALL", "EOF", "errno", "assert", "stdin",
    "stdout", "stderr", "BUFSIZ", "RAND_MAX", "EXIT_SUCCESS", "EXIT_FAILURE", "CHAR_BIT", "INT_MAX",
    "INT_MIN", "LONG_MAX", "LONG_MIN", "UINT_MAX", "ULONG_MAX", "CHAR_MAX", "CHAR_MIN", "SCHAR_MAX",
    "SHRT_MAX", "DBL_MAX", "DBL_MIN", "DBL_EPSILON", "FLT_MAX", "FLT_MIN", "FLT_EPSILON", "EDOM",
    "ERANGE", "EINTR", "SEEK_SET", "SEEK_CUR", "SEEK_END", "TMP_MAX", "offsetof", "va_arg", "linux",
    "unix", "CHECK", "REQUIRE", "WARN", "INFO", "MESSAGE", "FAIL", "SUBCASE", "TEST_CASE",
    "CAPTURE"};

constexpr std::pair<std::string_view, std::string_view> letters[] = {
    {"α", "alpha"}, {"β", "beta"},   {"γ", "gamma"},  {"δ", "delta"}, {"ε", "epsilon"},
    {"ζ", "zeta"},  {"η", "eta"},    {"θ", "theta"},  {"κ", "kappa"}, {"λ", "lambda"},
    {"μ", "mu"},    {"ν", "nu"},     {"ξ", "xi"},     {"π", "pi"},    {"ρ", "rho"},
    {"σ", "sigma"}, {"τ", "tau"},    {"φ", "phi"},    {"χ", "chi"},   {"ψ", "psi"},
    {"ω", "omega"}, {"Γ", "Gamma"},  {"Δ", "Delta"},  {"Θ", "Theta"}, {"Λ", "Lambda"},
    {"Σ", "Sigma"}, {"Φ", "Phi"},    {"Ψ", "Psi"},    {"Ω", "Omega"}, {"ŷ", "y_hat"},
    {"x̂", "x_hat"}, {"'", "_prime"}, {"′", "_prime"}, {"ᵀ", "_T"}};

// What names of macros of C, POSIX, Eigen and doctest begin with.
bool may_be_macro(std::string_view name) {
  return starts_with_one_of(
      name, {"M_", "FP_", "EIGEN_", "DOCTEST_", "MATH_", "CHECK_", "REQUIRE_", "WARN_", "FAST_",
             "PTHREAD_", "CLOCK_", "CLONE_", "LC_", "CPU_", "SCHED_", "TIMER_"});
}

}  // namespace

Identifiers::Identifiers() {
  taken_.insert(std::begin(keywords), std::end(keywords));
  taken_.insert(std::begin(ours), std::end(ours));
  for (std::string& function : function_names()) taken_.insert(std::move(function));
}

bool Identifiers::is_namespace(std::string_view name) {
  if (name.empty() || !is_letter(name[0])) return false;
  const Identifiers known;
  if (known.taken_.contains(name)) return false;
  if (may_be_macro(name)) return false;
  if (is_name_of_c(name)) return false;
  return std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

bool Identifiers::is_function(std::string_view name) {
  return is_identifier(name) && std::ranges::find(keywords, name) == std::end(keywords);
}

bool Identifiers::is_of_the_files(std::string_view name) {
  return std::ranges::find(keywords, name) != std::end(keywords) ||
         std::ranges::find(ours, name) != std::end(ours);
}

bool starts_with_one_of(std::string_view name, std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](std::string_view b) { return name.starts_with(b); });
}

bool is_identifier(std::string_view text) {
  return !text.empty() && !is_digit(text[0]) &&
         std::ranges::all_of(text, [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

Words words_in(std::string_view code) {
  const auto is_part = [](char c) { return is_letter(c) || is_digit(c) || c == '_'; };
  Words words;
  for (std::size_t i = 0; i < code.size();) {
    std::size_t end = i;
    while (end < code.size() && is_part(code[end])) ++end;
    if (end > i) words.emplace(code.substr(i, end - i));
    i = end + 1;
  }
  return words;
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
  if (may_be_macro(text)) text = "x_" + text;
  if (text.empty()) text = "x";
  if (is_digit(text[0])) text = "layer_" + text;
  std::string candidate = text;
  if (std::ranges::find(keywords, text) != std::end(keywords)) candidate = text += '_';
  for (int k = 2; !taken_.insert(candidate).second; ++k) candidate = fmt::format("{}_{}", text, k);
  return candidate;
}

}  // namespace chainrule::emission
