#include <chainrule/graph/emission/definitions.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>

#include <chainrule/core/detail/text.hpp>

namespace chainrule::emission {

namespace {

using detail::is_digit;
using detail::is_letter;

using Token = std::string_view;
using Tokens = std::span<const Token>;

bool is_word(Token token) {
  return !token.empty() && (is_letter(token[0]) || token[0] == '_' || (token[0] & 0x80) != 0);
}

// The words and signs of code, without comments and directives; texts are "" there.
class Reader {
 public:
  explicit Reader(std::string_view code) : rest_(code) {
    while (!rest_.empty()) next();
  }
  std::vector<Token> tokens;
  bool has_macros = false;

 private:
  void skip_to(std::string_view end, std::size_t from) {
    const std::size_t at = rest_.find(end, from);
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at + end.size());
  }

  // Up to the end of the line, which a backslash carries on.
  void skip_line() {
    begins_line_ = true;
    do {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      const bool goes_on = end > 0 && rest_[end - 1] == '\\';
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      if (!goes_on) return;
    } while (!rest_.empty());
  }

  // A directive, behind which a comment may go on in the next lines.
  void skip_directive() {
    const std::string_view line = rest_.substr(0, rest_.find('\n'));
    const std::size_t comment = line.find("/*");
    if (comment == line.npos || line.find("//") < comment) return skip_line();
    rest_.remove_prefix(comment);
  }

  void skip_text(char quote) {
    std::size_t end = 1;
    // Not across lines: in what is left out, as by #if 0, an apostrophe may stand alone.
    while (end < rest_.size() && rest_[end] != quote && rest_[end] != '\n')
      end += rest_[end] == '\\' ? 2 : 1;
    const bool is_closed = end < rest_.size() && rest_[end] == quote;
    rest_.remove_prefix(std::min(is_closed ? end + 1 : end, rest_.size()));
    tokens.emplace_back("\"\"");
  }

  void skip_raw_text() {
    const std::size_t open = std::min(rest_.find('('), rest_.size());
    const std::size_t quote = rest_.find('"');
    skip_to(")" + std::string(rest_.substr(quote + 1, open - quote - 1)) + "\"", open);
    tokens.emplace_back("\"\"");
  }

  void next() {
    if (rest_.starts_with("//")) return skip_line();
    if (rest_.starts_with("/*")) return skip_to("*/", 2);
    const bool begins_line = begins_line_;
    begins_line_ = rest_[0] == '\n' || (begins_line && (rest_[0] == ' ' || rest_[0] == '\t'));
    if (rest_[0] == '#' && begins_line) {
      has_macros = has_macros || rest_.substr(0, rest_.find('\n')).find("define") != rest_.npos;
      return skip_directive();
    }
    for (const std::string_view raw : {"R\"", "LR\"", "uR\"", "UR\"", "u8R\""})
      if (rest_.starts_with(raw)) return skip_raw_text();
    if (rest_[0] == '"' || rest_[0] == '\'') return skip_text(rest_[0]);
    std::size_t length = 1;
    if (is_word(rest_) || is_digit(rest_[0])) {
      const bool number = is_digit(rest_[0]);
      const auto goes_on = [&](std::size_t i) {
        return is_word(rest_.substr(i)) || is_digit(rest_[i]) ||
               (number &&
                (rest_[i] == '.' || (rest_[i] == '\'' && i + 1 < rest_.size() &&
                                     (is_digit(rest_[i + 1]) || is_letter(rest_[i + 1])))));
      };
      while (length < rest_.size() && goes_on(length)) ++length;
    } else {
      for (const std::string_view sign : {"::", "->", "&&", "==", "!=", "<=", ">=", "<<"})
        if (rest_.starts_with(sign)) length = sign.size();
    }
    if (std::isspace(static_cast<unsigned char>(rest_[0])) == 0)
      tokens.push_back(rest_.substr(0, length));
    rest_.remove_prefix(length);
  }

  std::string_view rest_;
  bool begins_line_ = true;
};

// The place behind the bracket that closes the one at `open`; the end where none does.
std::size_t behind_bracket(Tokens tokens, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    if (tokens[i] == "(" || tokens[i] == "[" || tokens[i] == "{") ++depth;
    if (tokens[i] == ")" || tokens[i] == "]" || tokens[i] == "}") --depth;
    if (depth == 0) return i + 1;
  }
  return tokens.size();
}

// Whether each bracket is closed, as of code that is the same in all branches of directives.
bool is_balanced(Tokens tokens) {
  return std::ranges::count(tokens, "{") == std::ranges::count(tokens, "}") &&
         std::ranges::count(tokens, "(") == std::ranges::count(tokens, ")");
}

bool has(Tokens tokens, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(
      tokens, [&](Token token) { return std::ranges::find(words, token) != words.end(); });
}

// The first of these words outside of all brackets and < >; the end where there is none.
std::size_t first_outside(Tokens tokens, std::initializer_list<std::string_view> words) {
  int depth = 0;  // of < >
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (depth == 0 && has(tokens.subspan(i, 1), words)) return i;
    if (tokens[i] == "(" || tokens[i] == "[" || tokens[i] == "{") i = behind_bracket(tokens, i) - 1;
    depth += tokens[i] == "<" ? 1 : tokens[i] == ">" ? -1 : 0;
  }
  return tokens.size();
}

bool has_outside(Tokens tokens, std::initializer_list<std::string_view> words) {
  return first_outside(tokens, words) < tokens.size();
}

// Whether braces behind these are those of a class or an initializer: what it declares has its name
// in front of them, or behind. struct S f(double x) {…} and operator+=(…) {…} are functions.
bool declares_with_braces(Tokens so_far) {
  const std::size_t initializer = first_outside(so_far, {"="});
  if (initializer < so_far.size()) return !has(so_far.first(initializer), {"operator"});
  return has_outside(so_far, {"struct", "class", "union", "enum"}) && !has_outside(so_far, {"("});
}

// Whether braces behind these are those of requires(T x) {…}, and not of what a clause, as
// requires (N > 1), stands in front of.
bool requires_with_braces(Tokens so_far) {
  if (so_far.empty()) return false;
  if (so_far.back() == "requires") return true;
  if (so_far.back() != ")") return false;
  std::size_t open = so_far.size() - 1;
  for (int depth = 1; depth > 0 && open > 0;) {
    --open;
    depth += so_far[open] == ")" ? 1 : so_far[open] == "(" ? -1 : 0;
  }
  return open > 1 && so_far[open - 1] == "requires" &&
         has(so_far.subspan(open - 2, 1), {"requires", "&&", "|", "!"});
}

// A declaration that stands outside of functions and classes, up to its body or its ';'.
struct Declaration {
  Tokens tokens;
  bool has_body;
};

std::vector<Declaration> declarations_of(Tokens tokens) {
  std::vector<Declaration> found;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < tokens.size();) {
    const Tokens so_far = tokens.subspan(begin, i - begin);
    if (tokens[i] == "(" || tokens[i] == "[") {
      i = behind_bracket(tokens, i);
    } else if (tokens[i] == ";") {
      found.push_back({so_far, false});
      begin = ++i;
    } else if (tokens[i] == "}") {  // of a namespace
      begin = ++i;
    } else if (tokens[i] == "{") {
      const bool links = so_far.size() == 2 && so_far[0] == "extern" && so_far[1] == "\"\"";
      if (links || has(so_far, {"namespace"})) {
        begin = ++i;
        continue;
      }
      i = behind_bracket(tokens, i);
      if (declares_with_braces(so_far) || requires_with_braces(so_far)) continue;
      found.push_back({so_far, true});
      begin = i;
    } else {
      ++i;
    }
  }
  if (begin < tokens.size()) found.push_back({tokens.subspan(begin), false});
  return found;
}

// What the commas outside of all brackets part; "<" counts as one where types stand.
std::vector<Tokens> parted(Tokens tokens) {
  std::vector<Tokens> parts;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= tokens.size(); ++i) {
    const Token token = i < tokens.size() ? tokens[i] : Token(",");
    if (token == "<" || token == "(" || token == "[" || token == "{") ++depth;
    if (token == ">" || token == ")" || token == "]" || token == "}") --depth;
    if (token != "," || (depth > 0 && i < tokens.size())) continue;
    if (i > begin) parts.push_back(tokens.subspan(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

// What a type is, if that is known.
struct Type {
  std::optional<Argument> kind;
  bool writes = false;  // a reference to what must not be constant
  bool whole = false;   // a number that has no fractions
};

// `parameters`: those of a template, which may be any type.
Type type_of(Tokens tokens, Tokens parameters) {
  using Words = std::set<std::string_view>;
  static const Words floating{"double", "float"};
  static const Words whole{"int",     "long",     "short",    "bool",    "char",    "unsigned",
                           "size_t",  "int8_t",   "int16_t",  "int32_t", "int64_t", "ptrdiff_t",
                           "uint8_t", "uint16_t", "uint32_t", "uint64_t"};
  static const Words around{"const",  "static", "inline", "constexpr", "volatile",
                            "extern", "std",    "Eigen",  "consteval", "signed"};
  static const Words of_eigen{
      "MatrixXd",   "VectorXd",  "RowVectorXd", "ArrayXXd",  "ArrayXd",        "Matrix", "Array",
      "MatrixX",    "VectorX",   "RowVectorX",  "ArrayXX",   "ArrayX",         "Ref",    "Map",
      "MatrixBase", "ArrayBase", "DenseBase",   "EigenBase", "PlainObjectBase"};
  Type type;
  int inside = 0;  // of < >
  for (const Token token : tokens) {
    if (token == "[" || token == "=") break;  // an array, or what it is if it is left out
    inside += token == "<" ? 1 : token == ">" ? -1 : 0;
    if (inside > 0) continue;
    if (token == "*" || has(parameters, {token})) return {};
    if (!is_word(token) || around.contains(token)) continue;
    if (floating.contains(token)) type.whole = false;  // long double
    if (type.kind) continue;
    if (of_eigen.contains(token)) {
      type.kind = Argument::matrix;
    } else if (floating.contains(token) || whole.contains(token)) {
      type.kind = Argument::number;
      type.whole = whole.contains(token);
    } else {
      return {};  // auto, somebody else's, or a macro
    }
  }
  const bool refers = has(tokens, {"&", "Ref"});
  type.writes = type.kind && refers && !has(tokens, {"const"});
  return type;
}

// A function that a declaration gives that name.
struct Function {
  std::vector<Tokens> parameters;
  Tokens of_template;
  Tokens result;
};

std::optional<Function> function_in(Tokens tokens, std::size_t name) {
  if (name + 1 >= tokens.size() || tokens[name + 1] != "(") return std::nullopt;
  const std::size_t end = behind_bracket(tokens, name + 1);
  if (end < name + 3 || tokens[end - 1] != ")") return std::nullopt;  // it is not closed
  Function function{parted(tokens.subspan(name + 2, end - name - 3)), {}, tokens.first(name)};
  if (!tokens.empty() && tokens[0] == "template") {
    std::size_t end_of_list = 1;
    for (int depth = 0; end_of_list < name; ++end_of_list) {
      depth += tokens[end_of_list] == "<" ? 1 : tokens[end_of_list] == ">" ? -1 : 0;
      if (depth == 0) break;
    }
    function.of_template = tokens.first(end_of_list);
  }
  if (function.parameters.size() == 1 &&
      std::ranges::equal(function.parameters[0], std::array{"void"}))
    function.parameters.clear();
  // auto f(double x) -> double
  const Tokens behind = tokens.subspan(end);
  if (const auto arrow = std::ranges::find(behind, "->"); arrow != behind.end())
    function.result = behind.subspan(static_cast<std::size_t>(arrow - behind.begin()) + 1);
  return function;
}

bool takes(const Function& function, const std::vector<Argument>& arguments) {
  const auto count = [&](std::string_view sign) {
    return static_cast<std::size_t>(std::ranges::count_if(
        function.parameters, [&](Tokens parameter) { return has(parameter, {sign}); }));
  };
  if (count(".") > 0) return true;  // f(T... x)
  const std::size_t most = function.parameters.size(), optional = count("=");
  if (arguments.size() > most || arguments.size() + optional < most) return false;
  for (std::size_t k = 0; k < arguments.size(); ++k) {
    const Type type = type_of(function.parameters[k], function.of_template);
    if (type.kind && (*type.kind != arguments[k] || type.writes || type.whole)) return false;
  }
  return true;
}

bool gives(const Function& function, Argument result) {
  if (has_outside(function.result, {"void"}) && !has(function.result, {"*"})) return false;
  const std::optional<Argument> kind = type_of(function.result, function.of_template).kind;
  return !kind || *kind == result;
}

// An object that is made from something, as in Table f(3), and no function.
bool may_be_object(const Function& function) {
  const bool known = type_of(function.result, function.of_template).kind.has_value();
  return !known && std::ranges::all_of(function.parameters,
                                       [](Tokens parameter) { return parameter.size() == 1; });
}

// Whether the brackets around place i of a declaration are those of a macro.
bool is_in_macro(Tokens declaration, std::size_t i) {
  std::size_t open = i;
  while (open > 0 && declaration[open] != "(") --open;
  if (open == 0) return false;
  return open == 1 ||
         std::ranges::none_of(declaration[open - 1], [](char c) { return c >= 'a' && c <= 'z'; });
}

// double (f)(double x), double (*f)(double)
bool is_in_own_brackets(Tokens declaration, std::size_t i) {
  return i + 2 < declaration.size() && declaration[i + 1] == ")" && declaration[i + 2] == "(";
}

}  // namespace

Defined defined_in(std::string_view code, std::string_view name,
                   const std::vector<Argument>& arguments, Argument result) {
  const Reader reader(code);
  const Tokens tokens = reader.tokens;
  if (reader.has_macros || (has(tokens, {name}) && !is_balanced(tokens))) return Defined::yes;
  Defined found = Defined::no;
  for (const auto& [declaration, has_body] : declarations_of(tokens)) {
    int depth = 0;
    for (std::size_t i = 0; i < declaration.size(); ++i) {
      if (declaration[i] == "(") ++depth;
      if (declaration[i] == ")") --depth;
      if (declaration[i] == "{") i = behind_bracket(declaration, i) - 1;  // of a class
      if (declaration[i] != name) continue;
      if (depth > 0 && is_in_macro(declaration, i)) return Defined::yes;
      if (depth == 1 && is_in_own_brackets(declaration, i)) return Defined::yes;
      if (depth > 0) continue;  // what another function calls its parameter
      const std::optional<Function> function = function_in(declaration, i);
      if (!function || has(declaration.first(i), {"=", "operator"})) return Defined::yes;
      if (!has_body && may_be_object(*function)) return Defined::yes;
      const Defined here = !has_body                      ? Defined::declared
                           : !takes(*function, arguments) ? Defined::for_others
                           : !gives(*function, result)    ? Defined::giving_other
                                                          : Defined::yes;
      found = std::max(found, here);
    }
  }
  return found;
}

}  // namespace chainrule::emission
