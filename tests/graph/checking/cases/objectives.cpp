// Clipped policy objective, Dice, Cauchy regression, sparse autoencoder.
// Chosen by somebody who knows how they are checked: they say less than the others about models
// that were never seen.

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};

Out ppo(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 8, 14), d = pick(c, 3, 5), K = 3;
  const double eps = 0.2, n = double(N);
  Tensor X = c.D("X", {N, d}, c.scale), W = c.P("W", {d, K}, 0.8 * inv(c)), A = c.D("A", {N}),
         Y = c.onehot("Y", N, K, false);
  Tensor z = matmul(X, W).named("z"), lp = sum(Y * log_softmax(z, 1), 1).named("l");
  Tensor old = c.dat("l0", lp + c.normal({N}, 0.25)), r = exp(lp - old).named("r");
  o.loss = -mean(minimum(r * A, clamp(r, 1 - eps, 1 + eps) * A));
  Tensor in =
      c.num(logical_or(logical_and(A > 0.0, r < 1 + eps), logical_and(A < 0.0, r > 1 - eps)));
  if (m == 1) in = full_like(r, 1);
  if (m == 2) in = c.num(logical_and(r < 1 + eps, r > 1 - eps));
  if (m == 9) in = 1.0 - in;
  Tensor dr = o("dr", r, m == 3 ? A * in / n : m == 4 ? -in / n : m == 5 ? -A * in : -A * in / n);
  Tensor dl = o("dl", lp, m == 6 ? dr : m == 10 ? dr * lp : dr * r);
  Tensor p = softmax(z, 1);
  Tensor dz = o("dz", z,
                m == 7    ? col(dl) * (p - Y)
                : m == 8  ? col(dl) * Y
                : m == 11 ? col(dl) * Y * (1.0 - p)
                          : col(dl) * (Y - p));
  o("dW", W, m == 12 ? matmul(X.T(), dz) / n : matmul(X.T(), dz));
  return o;
}

Out dice(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 9, 16), d = pick(c, 3, 5);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, inv(c)), b = c.P("b", {}),
         y = labels(c, "y", N);
  Tensor z = (matmul(X, w) + b).named("z"), p = sigmoid(z).named("p"), I = sum(p * y).named("I"),
         S = (sum(p) + sum(y)).named("S");
  o.loss = 1.0 - (2.0 * I + 1.0) / (S + 1.0);
  Tensor dI = o("dI", I,
                m == 1   ? -1.0 / (S + 1.0)
                : m == 2 ? 2.0 / (S + 1.0)
                : m == 3 ? -2.0 / S
                         : -2.0 / (S + 1.0));
  Tensor dS = o("dS", S,
                m == 4   ? -(2.0 * I + 1.0) / square(S + 1.0)
                : m == 5 ? (2.0 * I + 1.0) / (S + 1.0)
                : m == 6 ? 2.0 * I / square(S + 1.0)
                         : (2.0 * I + 1.0) / square(S + 1.0));
  Tensor dp = o("dp", p,
                m == 7    ? dI * y
                : m == 8  ? dI * y - dS
                : m == 9  ? dI * (1.0 - y) + dS
                : m == 10 ? dI + dS + 0.0 * y
                          : dI * y + dS);
  Tensor dz = o("dz", z,
                m == 11   ? dp
                : m == 12 ? dp * p
                : m == 13 ? dp * (1.0 - p * p)
                          : dp * dsig(c, z, p));
  o("dw", w, m == 14 ? matmul(X.T(), dp) : matmul(X.T(), dz)),
      o("db", b, m == 15 ? mean(dz) : sum(dz));
  return o;
}

Out cauchy(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 7, 12), d = pick(c, 3, 5);
  const double n = double(N);
  Tensor X = c.D("X", {N, d}, c.scale), w = c.P("w", {d}, inv(c)),
         g = c.par("g", full({}, 0.8, f64)), y = c.D("y", {N});
  Tensor r = (matmul(X, w) - y).named("r"), q = (1.0 + square(r / g)).named("q");
  o.loss = mean(log(q)) + log(g) + 0.15 * sum(square(w)) / (c.scale < 1 ? inv(c) : 1);
  const double la = 0.15 / (c.scale < 1 ? inv(c) : 1);
  Tensor dq = o("dq", q, m == 1 ? 1.0 / q : m == 2 ? -1.0 / (n * square(q)) : 1.0 / (n * q));
  Tensor dr = o("dr", r,
                m == 3   ? 2.0 * dq * r / g
                : m == 4 ? dq * r / square(g)
                : m == 5 ? 2.0 * dq * r
                : m == 6 ? -2.0 * dq * r / square(g)
                         : 2.0 * dq * r / square(g));
  o("dg", g,
    m == 7    ? -2.0 * sum(dq * square(r)) / (g * g * g)
    : m == 8  ? -2.0 * sum(dq * square(r)) / square(g) + 1.0 / g
    : m == 9  ? 2.0 * sum(dq * square(r)) / (g * g * g) + 1.0 / g
    : m == 10 ? -2.0 * sum(dq * r) / (g * g * g) + 1.0 / g
              : -2.0 * sum(dq * square(r)) / (g * g * g) + 1.0 / g);
  o("dw", w,
    m == 11   ? matmul(X.T(), dr)
    : m == 12 ? matmul(X.T(), dr) + la * w
    : m == 13 ? matmul(X.T(), dr) - 2 * la * w
              : matmul(X.T(), dr) + 2 * la * w);
  return o;
}

Out sparse(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 10), d = pick(c, 4, 6), k = pick(c, 3, 4);
  const double rho = 0.2, be = 0.7, n = double(N);
  Tensor X = c.D("X", {N, d}, c.scale), W = c.P("W", {d, k}, 0.8 * inv(c)), b = c.P("b", {k}),
         V = c.P("V", {k, d}, c.scale);
  Tensor z = (matmul(X, W) + b).named("z"), h = sigmoid(z).named("h"), R = matmul(h, V).named("R"),
         r = mean(h, 0).named("ρ");
  o.loss = 0.5 * sum(square(R - X)) / n +
           be * sum(rho * log(rho / r) + (1 - rho) * log((1 - rho) / (1.0 - r)));
  Tensor dR = o("dR", R, m == 1 ? (X - R) / n : m == 2 ? R - X : (R - X) / n);
  o("dV", V, m == 3 ? matmul(z.T(), dR) : matmul(h.T(), dR));
  Tensor dr = o("dρ", r,
                m == 4   ? be * (-rho / r)
                : m == 5 ? -rho / r + (1 - rho) / (1.0 - r)
                : m == 6 ? be * (rho / r - (1 - rho) / (1.0 - r))
                : m == 7 ? be * (-rho / r - (1 - rho) / (1.0 - r))
                : m == 8 ? be * (-rho / r + rho / (1.0 - r))
                         : be * (-rho / r + (1 - rho) / (1.0 - r)));
  Tensor dh = o("dh", h,
                m == 9    ? matmul(dR, V.T())
                : m == 10 ? matmul(dR, V.T()) + dr
                : m == 11 ? matmul(dR, V.T()) - dr / n
                : m == 12 ? expand(dr / n, {N, k}) + 0.0 * h
                          : matmul(dR, V.T()) + dr / n);
  Tensor dz = o("dz", z,
                m == 13   ? dh * (1.0 - h)
                : m == 14 ? dh * (1.0 - h * h)
                          : dh * dsig(c, z, h));
  o("dW", W, matmul(X.T(), dz)), o("db", b, m == 15 ? mean(dz, 0) : sum(dz, 0));
  return o;
}

const Registered r1({"ppo",
                     ppo,
                     usual(S4),
                     {{1, "clipping missing", MASK, "dr"},
                      {2, "clipping on both sides", MASK, "dr"},
                      {9, "mask reversed", MASK + W{"revers"}, "dr"},
                      {3, "sign", SIGNS, "dr"},
                      {4, "A missing", MISSF, "dr"},
                      {5, "1/N missing", batch(8), "dr"},
                      {6, "exp' missing", MISSF + W{"exp"}, "dl"},
                      {10, "l for r", WHICH, "dl"},
                      {7, "sign", SIGNS, "dz"},
                      {8, "p missing", TERM, "dz"},
                      {11, "diagonal alone", TERM + FUNC + W{"diagonal"}, "dz"},
                      {12, "1/N twice", batch(8), "dW"},
                      {6, "exp' missing", MISSF + W{"exp"}, "dz", {"dz"}},
                      {4, "A missing", MISSF, "dr", {}, true}}});
const Registered r2({"dice",
                     dice,
                     usual(S4, {"saturated"}),
                     {{1, "2 missing", HALF, "dI"},
                      {2, "sign", SIGNS, "dI"},
                      {3, "1 of the smoothing missing", TERM, "dI"},
                      {4, "sign", SIGNS, "dS"},
                      {5, "square missing", POWER, "dS"},
                      {6, "1 of the smoothing missing", TERM, "dS"},
                      {7, "path through S missing", PATH, "dp"},
                      {8, "sign of a term", SIGNS, "dp"},
                      {9, "1 − y for y", STANDS + W{"1 minus"}, "dp"},
                      {10, "y missing", MISSF, "dp"},
                      {11, "σ' missing", SLOPE + MISSF, "dz"},
                      {12, "1 − p missing", MISSF + FUNC, "dz"},
                      {13, "tanh' for σ'", FUNC + SLOPE, "dz"},
                      {14, "σ' missing", WHICH + SLOPE + MISSF, "dw"},
                      {15, "mean for sum", MEANSUM + times("9", "0.111111"), "db"},
                      {7, "path through S missing", PATH, "dz", {"dz"}},
                      {5, "square missing", POWER, "dp", {"dp"}}}});
const Registered r3({"cauchy",
                     cauchy,
                     usual(S4),
                     {{1, "1/N missing", batch(7), "dq"},
                      {2, "1/q² for 1/q", POWER + SIGNS + FUNC, "dq"},
                      {3, "g for g²", POWER + MISSF, "dr"},
                      {4, "2 missing", HALF, "dr"},
                      {5, "1/g² missing", POWER + MISSF, "dr"},
                      {6, "sign", SIGNS, "dr"},
                      {7, "term of log g missing", TERM, "dg"},
                      {8, "g² for g³", POWER + MISSF, "dg"},
                      {9, "sign of a term", SIGNS, "dg"},
                      {10, "r for r²", POWER + MISSF, "dg"},
                      {11, "λ term missing", TERM, "dw"},
                      {12, "2 missing at λ", HALF, "dw"},
                      {13, "sign of the λ term", SIGNS, "dw"},
                      {4, "2 missing", HALF, "dw", {"dw"}},
                      {7, "term of log g missing", TERM, "dg", {}, true}}});
const Registered r4({"sparse autoencoder",
                     sparse,
                     usual(S4, {"saturated"}),
                     {{1, "sign", SIGNS, "dR"},
                      {2, "1/N missing", batch(6), "dR"},
                      {3, "z for h", WHICH + FUNC, "dV"},
                      {4, "second term of the KL missing", TERM, "dρ"},
                      {5, "β missing", FACTOR + times("0.7", "1.42857"), "dρ"},
                      {6, "sign", SIGNS, "dρ"},
                      {7, "sign of a term", SIGNS, "dρ"},
                      {8, "ρ for 1 − ρ", NUMBER + STANDS + times("4", "0.25"), "dρ"},
                      {9, "KL's path missing", PATH, "dh"},
                      {10, "1/N missing in a term", batch(6), "dh"},
                      {11, "sign of a term", SIGNS, "dh"},
                      {12, "data's path missing", PATH, "dh"},
                      {13, "h missing", MISSF + FUNC, "dz"},
                      {14, "tanh' for σ'", FUNC + SLOPE, "dz"},
                      {15, "mean for sum", MEANSUM + times("6", "0.166667"), "db"},
                      {9, "KL's path missing", PATH, "dW", {"dW"}},
                      {10, "1/N missing in a term", batch(6), "dh", {}, true},
                      {7, "sign of a term", SIGNS, "dρ", {}, true}}});

}  // namespace
