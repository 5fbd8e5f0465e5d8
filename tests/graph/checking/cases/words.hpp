#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <chainrule/tests/graph/checking/cases/cases.hpp>

namespace cases {

// Ways of naming mistakes.
using W = std::vector<std::string>;
// Alternatives; "a&b": both must occur.
inline const W SIGN{"sign", "wrong way round", "minus", "negat"};
inline const W TERM{"term&missing",    "subtrahend&missing", "minuend&missing", "path",
                    "summand&missing", "term&left out",      "left out",        "term&forgotten"};
inline const W EXTRA{"superfluous", "too much", "too many", "twice",    "does not belong",
                     "not belong",  "extra",    "doubled",  "no place", "factor"};
inline const W TENSOR{"tensor",  "layer",  "operand",     "place of",
                      "swapped", "confus", "rather than", "other than"};
inline const W TRANS{"transpos",        "wrong way round", "ᵀ&instead",
                     "other way round", "swapped",         "order"};
inline const W HALF{"factor of 2", "factor 2", "factor of -2", "number is missing",
                    "½",           "0.5",      "half",         "twice",
                    "halve",       "doubl",    "factor&two"};
inline const W AXIS{"axis", "axes", "rows", "columns"};
inline const W MEANSUM{"mean", "sum over", "Σ&missing", "sum&missing"};
inline const W FACTOR{"factor"};
inline const W TIME{"time", "index", "step", "shifted", "layer", "tensor", "previous"};
inline W operator+(W a, const W& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline W batch(int n) {
  const std::string k = std::to_string(n);
  return {"1/N",    "/ " + k, "1/" + k, "factor of " + k,
          "⊘ " + k, "mean",   "batch",  "number is missing"};
}
// As find(), but a number at either end of the word must be a whole number of the text: "factor of
// 2" is not in "factor of 2.68697".
inline bool has(const std::string& text, const std::string& part) {
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    const std::size_t e = at + part.size();
    const bool after =
        digit(part.back()) && e < text.size() &&
        (digit(text[e]) || (text[e] == '.' && e + 1 < text.size() && digit(text[e + 1])));
    const bool before =
        digit(part.front()) && at > 0 && (digit(text[at - 1]) || text[at - 1] == '.');
    if (!after && !before) return true;
  }
  return false;
}

// What several models are made from.
inline double inv(const Ctx& c) { return c.scale > 1 ? 1 / c.scale : 1; }
inline std::int64_t pick(const Ctx& c, std::int64_t small, std::int64_t large) {
  return c.size > 1 ? large : small;
}
inline Tensor dsig(const Ctx& c, const Tensor& z, const Tensor& s) {
  return c.is("saturated") ? sigmoid(z) * sigmoid(-z) : s * (1.0 - s);
}
inline Tensor dtanh(const Ctx& c, const Tensor& z, const Tensor& h) {
  return c.is("saturated") ? 4.0 * sigmoid(2.0 * z) * sigmoid(-2.0 * z) : 1.0 - square(h);
}
inline Tensor col(const Tensor& v) { return unsqueeze(v, 1); }
inline Tensor row(const Tensor& v) { return unsqueeze(v, 0); }
inline std::string nm(const char* a, std::int64_t t) { return a + std::to_string(t); }
// The words must name the kind of the mistake and not only occur in the formulas that any
// explanation quotes.
inline const W STANDS{"stands where",  "stands in the place", "stands for",
                      "belongs there", "belongs here",        "should stand"};
inline const W SIGNS =
    SIGN + W{"subtracted", "opposite", "factor of -1", "factor −1", "factor of −1"};
inline const W MISSF = FACTOR + W{"without", "not multiplied", "multiplied by", "missing&⊗"} +
                       STANDS;  // a missing factor
inline const W SLOPE{"slope",        "derivative",    "σ' is",          "tanh' is",
                     "σ'&missing",   "tanh'&missing", "relu'&missing",  "factor σ'",
                     "factor tanh'", "place of σ'",   "place of tanh'", "place of relu'"};
inline const W FUNC =
    W{"function",          "derivative of", "derivative is", "slope of",     "σ'&instead",
      "tanh'&instead",     "σ'&rather",     "tanh'&rather",  "place of σ",   "place of tanh",
      "place of sign",     "place of cos",  "place of sin",  "place of exp", "place of relu",
      "place of softplus", "place of erf",  "place of clamp"} +
    STANDS;
inline const W MASK =
    W{"mask",      "condition", "comparison", "indicator",     "factor&[",      "missing&[",
      "[&instead", "[&rather",  "place of [", "relu'&missing", "place of relu", "maximum'"} +
    STANDS;
inline const W STEP{"step",    "time",     "sum&missing", "Σ&missing", "term&missing",
                    "summand", "left out", "path",        "index"};
inline const W PATH = TERM + W{"contribution", "the part through", "through&missing"};
inline const W POWER = W{"power",    "exponent",  "square",         "factor",      "²&instead",
                         "²&rather", "²&missing", "place of tanh'", "place of 1 −"} +
                       STANDS;
inline const W WHICH = W{"tensor", "layer",    "operand",  "swapped", "exchanged",
                         "confus", "taken at", "argument", "variable"} +
                       STANDS;
inline const W NUMBER{"number", "constant", "coefficient", "scalar"};
inline W times(const char* a, const char* b) {  // a number that is wrong by a or 1/a
  return NUMBER + W{std::string("factor of ") + a, std::string("factor of ") + b,
                    std::string("factor ") + a, std::string("factor ") + b,
                    std::string("factor of -") + a};
}
inline Tensor remainder_free(const Tensor& i, std::int64_t n) {
  auto v = i.to_vector<std::int64_t>();
  for (std::size_t k = 0; k < v.size(); ++k) v[k] = (v[k] + 1 + std::int64_t(k) % (n - 1)) % n;
  return from_vector(v);
}
// 0 1 1 0 1 1 …: both classes occur whatever the seed.
inline Tensor labels(const Ctx& c, const char* n, std::int64_t N) {
  std::vector<double> v(N);
  for (std::int64_t i = 0; i < N; ++i) v[i] = (i + std::int64_t(c.seed)) % 3 != 0;
  return c.dat(n, from_vector(v));
}

}  // namespace cases
