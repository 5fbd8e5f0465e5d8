// Weight norm, feature-wise modulation, instance norm.
// Chosen by somebody who knows how they are checked: they say less than the others about models
// that were never seen.

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};

Out weightnorm(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 11), d = pick(c, 4, 6);
  Tensor X = c.D("X", {N, d}, c.scale), v = c.P("v", {d}),
         g = c.par("g", full({}, 1.3 * inv(c), f64)), y = c.D("y", {N});
  Tensor r = sqrt(sum(square(v))).named("r"), w = (g * v / r).named("w"),
         f = matmul(X, w).named("f"), e = softplus(f).named("e");
  o.loss = 0.5 * mean(square(e - y));
  const double n = double(N);
  Tensor de = o("de", e, m == 1 ? e - y : (e - y) / n);
  Tensor df = o("df", f,
                m == 2   ? de
                : m == 3 ? de * e
                : m == 4 ? de * sigmoid(f) * (1.0 - sigmoid(f))
                : m == 5 ? de * sigmoid(e)
                         : de * sigmoid(f));
  Tensor dw = o("dw", w, matmul(X.T(), df));
  Tensor dg = o("dg", g, m == 6 ? dot(dw, v) : m == 7 ? dot(dw, w) : dot(dw, v) / r);
  o("dv", v,
    m == 8    ? g * dw / r
    : m == 9  ? g / r * (dw - dot(dw, v) * v)
    : m == 10 ? g / r * (dw + dot(dw, v) * v / square(r))
    : m == 11 ? dw / r - dot(dw, v) * v / (r * r * r)
    : m == 12 ? g / r * (dw - dot(dw, v) * v / r)
              : g / r * (dw - dot(dw, v) * v / square(r)));
  return o;
}

Out film(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 10), d = pick(c, 4, 6), k = pick(c, 3, 5), q = pick(c, 2, 3);
  Tensor X = c.D("X", {N, d}, c.scale), C = c.D("C", {N, q}), W = c.P("W", {d, k}, inv(c)),
         G = c.P("G", {q, k}), B = c.P("B", {q, k}), u = c.P("u", {k}), y = c.D("y", {N});
  Tensor z = matmul(X, W).named("z"), ga = (1.0 + matmul(C, G)).named("γ"),
         be = matmul(C, B).named("β"), a = (ga * z + be).named("a"), h = relu(a).named("h"),
         f = matmul(h, u).named("f");
  o.loss = mean(square(f - y));
  const double n = double(N);
  Tensor df = o("df", f, m == 1 ? (f - y) / n : m == 2 ? 2.0 * (f - y) : 2.0 * (f - y) / n);
  o("du", u, m == 3 ? matmul(a.T(), df) : matmul(h.T(), df));
  Tensor dh = o("dh", h, outer(df, u));
  Tensor da = o("da", a,
                m == 4   ? dh
                : m == 5 ? dh * c.num(z > 0.0)
                : m == 6 ? dh * h
                : m == 7 ? dh * c.num(a < 0.0)
                         : dh * c.num(a > 0.0));
  Tensor dga = o("dγ", ga,
                 m == 8   ? da
                 : m == 9 ? da * a
                          : da * z),
         dbe = o("dβ", be, m == 10 ? da * z : da);
  Tensor dz = o("dz", z, m == 11 ? da : m == 12 ? da * (ga - 1.0) : da * ga);
  o("dW", W, m == 13 ? matmul(X.T(), da) : matmul(X.T(), dz)), o("dG", G, matmul(C.T(), dga)),
      o("dB", B, m == 14 ? matmul(C.T(), dga) : matmul(C.T(), dbe));
  return o;
}

Out instance(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 3, 4), C = pick(c, 2, 3), L = pick(c, 5, 7);
  Tensor X = c.P("X", {N, C, L}, c.scale), ga = c.par("γ", c.unif({C, 1}, 0.5, 1.5)),
         be = c.P("β", {C, 1}), Y = c.D("Y", {N, C, L});
  const double eps = 1e-5 * c.scale * c.scale, l = double(L);
  Tensor mu = mean(X, 2, true).named("μ"), e = (X - mu).named("e"),
         v = mean(square(e), 2, true).named("v"), s = sqrt(v + eps).named("s"),
         u = (e / s).named("u"), y = (ga * u + be).named("y");
  o.loss = 0.5 * sum(square(tanh(y) - Y)) / double(N);
  Tensor t = tanh(y), dy = o("dy", y,
                             m == 1   ? (t - Y) / double(N)
                             : m == 2 ? (t - Y) * (1.0 - t * t)
                                      : (t - Y) * (1.0 - t * t) / double(N));
  o("dγ", ga,
    m == 3   ? sum(sum(dy * u, 2, true), 0) / double(N)
    : m == 4 ? sum(sum(dy * e, 2, true), 0)
             : sum(sum(dy * u, 2, true), 0)),
      o("dβ", be, m == 5 ? sum(mean(dy, 2, true), 0) : sum(sum(dy, 2, true), 0));
  Tensor du = o("du", u, m == 6 ? dy : dy * ga);
  Tensor ds = o("ds", s,
                m == 7   ? sum(du * u, 2, true) / s
                : m == 8 ? -sum(du * u, 2, true)
                : m == 9 ? -sum(du * e, 2, true) / s
                         : -sum(du * u, 2, true) / s);
  Tensor de = o("de", e,
                m == 10   ? du / s
                : m == 11 ? du / s + ds * u
                : m == 12 ? du / s - ds * u / l
                          : du / s + ds * u / l);
  o("dX", X,
    m == 13   ? de
    : m == 14 ? de + mean(de, 2, true)
    : m == 15 ? de - sum(de, 2, true)
    : m == 16 ? de - mean(de, 1, true)
              : de - mean(de, 2, true));
  return o;
}

const Registered r1({"weight norm",
                     weightnorm,
                     usual(S4),
                     {{1, "1/N missing", batch(6), "de"},
                      {2, "softplus' missing", SLOPE + MISSF, "df"},
                      {3, "softplus for its slope", FUNC + SLOPE, "df"},
                      {4, "σ' for σ", FUNC + SLOPE + MISSF, "df"},
                      {5, "σ at e", WHICH, "df"},
                      {6, "1/r missing", MISSF + W{"1 ⊘ r&missing"}, "dg"},
                      {7, "g too much", EXTRA + WHICH + W{"g&not belong"}, "dg"},
                      {8, "path through r missing", PATH, "dv"},
                      {9, "1/r² missing in a term", MISSF + POWER + PATH, "dv"},
                      {10, "sign of a term", SIGNS, "dv"},
                      {11, "g missing", MISSF, "dv"},
                      {12, "r for r²", POWER + MISSF, "dv"},
                      {8, "path through r missing", PATH, "dv", {"dv"}},
                      {10, "sign of a term", SIGNS, "dv", {}, true},
                      {2, "softplus' missing", SLOPE + MISSF, "dw", {"dw"}}}});
const Registered r2(
    {"film",
     film,
     usual(S4),
     {{1, "2 missing", HALF, "df"},
      {2, "1/N missing", batch(6), "df"},
      {3, "a for h", WHICH + FUNC, "du"},
      {4, "relu' missing", MASK, "da"},
      {5, "mask of z for that of a", MASK + W{"at another tensor"}, "da"},
      {6, "relu for relu'", FUNC + MASK, "da"},
      {7, "mask reversed", MASK + W{"revers"}, "da"},
      {8, "z missing", MISSF, "dγ"},
      {9, "a for z", WHICH, "dγ"},
      {10, "z too much", EXTRA, "dβ"},
      {11, "γ missing", MISSF, "dz"},
      {12, "1 missing in γ", TERM + STANDS + W{"term 1 does not belong"}, "dz"},
      {13, "da for dz", WHICH + MISSF, "dW"},
      {14, "dγ for dβ", WHICH + EXTRA, "dB"},
      {4, "relu' missing", MASK + MISSF, "dW", {"dW"}},
      {11, "γ missing", MISSF, "dW", {"dW"}},
      {5, "mask of z for that of a", MASK + W{"at another tensor"}, "da", {}, true}}});
const Registered r3({"instance norm",
                     instance,
                     usual({1e-3, 1e3}),
                     {{1, "tanh' missing", SLOPE + MISSF, "dy"},
                      {2, "1/N missing", batch(3), "dy"},
                      {3, "mean for sum", MEANSUM + times("3", "0.333333"), "dγ"},
                      {4, "e for u", WHICH + MISSF, "dγ"},
                      {5, "mean for sum", MEANSUM + times("5", "0.2"), "dβ"},
                      {6, "γ missing", MISSF, "du"},
                      {7, "sign", SIGNS, "ds"},
                      {8, "1/s missing", MISSF, "ds"},
                      {9, "e for u", WHICH + MISSF + POWER, "ds"},
                      {10, "path through s missing", PATH, "de"},
                      {11, "1/L missing in a term", batch(5), "de"},
                      {12, "sign of a term", SIGNS, "de"},
                      {13, "path through μ missing", PATH, "dX"},
                      {14, "sign of a term", SIGNS, "dX"},
                      {15, "sum for mean", MEANSUM + times("5", "0.2"), "dX"},
                      {16, "mean over the wrong axis", AXIS, "dX"},
                      {10, "path through s missing", PATH, "dX", {"dX"}},
                      {6, "γ missing", MISSF, "de", {"de"}},
                      {13, "path through μ missing", PATH, "dX", {}, true}}});

}  // namespace
