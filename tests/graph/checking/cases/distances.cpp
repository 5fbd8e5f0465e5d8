// t-SNE, Barlow Twins, cosine margin, Hopfield energy, additive attention.
// Chosen by somebody who knows how they are checked: they say less than the others about models
// that were never seen.

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};

Out tsne(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 5, 9);
  Tensor Y = c.P("Y", {n, 2}, c.scale > 1 ? 1 : c.scale);
  Tensor P0 = c.unif({n, n}, 0.1, 1), off = c.dat("O", 1.0 - eye(n, c.dt)),
         Pm = c.dat("P", (P0 + P0.T()) * off / sum((P0 + P0.T()) * off));
  Tensor sq = sum(square(Y), 1, true), D = (sq + sq.T() - 2.0 * matmul(Y, Y.T())).named("D");
  Tensor Wt = (off / (1.0 + D)).named("W"), S = sum(Wt).named("S"), Q = (Wt / S).named("Q");
  o.loss = -sum(Pm * log(Q + eye(n, c.dt)));
  Tensor dW = 1.0 / S - Pm / (Wt + (1.0 - off));
  if (m == 2) dW = -1.0 / S - Pm / (Wt + (1.0 - off));
  o("dW", Wt, dW);
  Tensor dD = m == 3   ? (Q - Pm) * Wt
              : m == 4 ? Pm * Wt
              : m == 5 ? (Pm - Q) * Wt * Wt
              : m == 6 ? Pm - Q
                       : (Pm - Q) * Wt;
  o("dD", D, dD);
  Tensor r = sum(dD, 1, true);
  o("dY", Y,
    m == 7    ? 2.0 * (r * Y - matmul(dD, Y))
    : m == 8  ? 4.0 * r * Y
    : m == 9  ? 4.0 * (r * Y + matmul(dD, Y))
    : m == 10 ? 4.0 * (mean(dD, 1, true) * Y - matmul(dD, Y))
    : m == 11 ? -4.0 * matmul(dD, Y)
              : 4.0 * (r * Y - matmul(dD, Y)));
  return o;
}

Out barlow(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 7, 12), d = pick(c, 4, 5), k = pick(c, 3, 4);
  const double la = 0.1, n = double(N);
  Tensor Xa = c.D("Xa", {N, d}, c.scale), Xb = c.D("Xb", {N, d}, c.scale),
         W = c.P("W", {d, k}, 0.6 * inv(c));
  Tensor A = matmul(Xa, W).named("A"), B = matmul(Xb, W).named("B"),
         C = (matmul(A.T(), B) / n).named("C"), I = c.dat("I", eye(k, f64));
  o.loss = sum(square(C - I) * (I + la * (1.0 - I)));
  Tensor w = I + la * (1.0 - I);
  Tensor dC = o("dC", C,
                m == 1   ? 2.0 * (C - I)
                : m == 2 ? (C - I) * w
                : m == 3 ? 2.0 * (C - I) * I
                : m == 4 ? 2.0 * C * w
                : m == 5 ? 2.0 * (I - C) * w
                : m == 6 ? 2.0 * (C - I) * (I + (1.0 - I) * la * la)
                         : 2.0 * (C - I) * w);
  Tensor dA = o("dA", A,
                m == 7   ? matmul(B, dC) / n
                : m == 8 ? matmul(B, dC.T())
                : m == 9 ? matmul(A, dC.T()) / n
                         : matmul(B, dC.T()) / n);
  Tensor dB = o("dB", B,
                m == 10   ? matmul(A, dC.T()) / n
                : m == 11 ? -matmul(A, dC) / n
                          : matmul(A, dC) / n);
  o("dW", W,
    m == 12   ? matmul(Xa.T(), dA)
    : m == 13 ? matmul(Xb.T(), dA) + matmul(Xa.T(), dB)
    : m == 14 ? matmul(Xa.T(), dA) - matmul(Xb.T(), dB)
              : matmul(Xa.T(), dA) + matmul(Xb.T(), dB));
  return o;
}

Out cosface(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9), d = pick(c, 4, 5), K = 3;
  const double sc = 6, mg = 0.25, n = double(N);
  Tensor X = c.D("X", {N, d}, c.scale), W = c.P("W", {K, d}), Y = c.onehot("Y", N, K, false);
  Tensor U = c.dat("U", X / sqrt(sum(square(X), 1, true))),
         r = sqrt(sum(square(W), 1, true)).named("r"), V = (W / r).named("V"),
         C = matmul(U, V.T()).named("C"), z = (sc * (C - mg * Y)).named("z");
  o.loss = -sum(Y * log_softmax(z, 1)) / n;
  Tensor p = softmax(z, 1);
  Tensor dz = o("dz", z,
                m == 1   ? (p - Y)
                : m == 2 ? (Y - p) / n
                : m == 3 ? (softmax(sc * C, 1) - Y) / n
                : m == 4 ? (softmax(z, 0) - Y) / n
                         : (p - Y) / n);
  Tensor dC = o("dC", C, m == 5 ? dz : m == 6 ? sc * (dz - mg * Y) : sc * dz);
  Tensor dV = o("dV", V, m == 7 ? matmul(dC.T(), X) : matmul(dC.T(), U));
  Tensor s = sum(dV * V, 1, true);
  o("dW", W,
    m == 8    ? dV / r
    : m == 9  ? (dV - s * V)
    : m == 10 ? (dV + s * V) / r
    : m == 11 ? (dV - s) / r
    : m == 12 ? (dV - sum(dV * V, 0, true) * V) / r
    : m == 13 ? (dV - s * W) / r
              : (dV - s * V) / r);
  return o;
}

Out hopfield(const Ctx& c, int m) {
  Out o;
  const std::int64_t M = pick(c, 5, 8), d = pick(c, 3, 5);
  const double be = 2.5;
  Tensor X = c.P("X", {M, d}, c.scale > 1 ? 1 : c.scale), q = c.P("q", {d}), y = c.D("y", {d});
  Tensor s = (be * matmul(X, q)).named("s"), e = logsumexp(s, 0).named("e");
  o.loss = -e / be + 0.5 * dot(q, q) - 0.3 * dot(q, y);
  Tensor p = softmax(s, 0);
  Tensor ds = o("ds", s,
                m == 1   ? -p
                : m == 2 ? p / be
                : m == 3 ? -s / (be * sum(s))
                : m == 4 ? -exp(s) / be
                         : -p / be);
  o("dq", q,
    m == 5    ? be * matmul(X.T(), ds) - 0.3 * y
    : m == 6  ? matmul(X.T(), ds) + q - 0.3 * y
    : m == 7  ? be * matmul(X.T(), ds) + 2.0 * q - 0.3 * y
    : m == 8  ? be * matmul(X.T(), ds) - q - 0.3 * y
    : m == 9  ? be * matmul(X.T(), ds) + q - y
    : m == 10 ? q - 0.3 * y
    : m == 14 ? be * matmul(X.T(), ds) + q
              : be * matmul(X.T(), ds) + q - 0.3 * y);
  o("dX", X,
    m == 11   ? outer(ds, q)
    : m == 12 ? be * outer(s, q)
    : m == 13 ? be * outer(ds, matmul(X.T(), ds))
              : be * outer(ds, q));
  return o;
}

Out additive(const Ctx& c, int m) {
  Out o;
  const std::int64_t T = pick(c, 5, 9), d = pick(c, 3, 5), k = pick(c, 4, 6);
  Tensor Hs = c.D("H", {T, d}, c.scale), q = c.D("q", {d}), W = c.P("W", {d, k}, inv(c)),
         U = c.P("U", {d, k}), v = c.P("v", {k}), y = c.D("y", {d}, c.scale);
  Tensor z = (matmul(Hs, W) + row(matmul(U.T(), q))).named("z"), t = tanh(z).named("t"),
         s = matmul(t, v).named("s"), a = softmax(s, 0).named("a"),
         ctx_ = matmul(Hs.T(), a).named("c");
  o.loss = 0.5 * sum(square(ctx_ - y));
  Tensor dc = o("dc", ctx_, m == 1 ? 2.0 * (ctx_ - y) : ctx_ - y);
  Tensor da = o("da", a, m == 2 ? matmul(t, v) * sum(dc) : matmul(Hs, dc));
  Tensor ds = o("ds", s,
                m == 3   ? a * da
                : m == 4 ? a * (1.0 - a) * da
                : m == 5 ? a * (da - sum(da))
                : m == 6 ? a * (dot(a, da) - da)
                         : a * (da - dot(a, da)));
  o("dv", v, m == 7 ? matmul(z.T(), ds) : matmul(t.T(), ds));
  Tensor dt = outer(ds, v);
  Tensor dz = o("dz", z,
                m == 8    ? dt
                : m == 9  ? dt * (1.0 - t)
                : m == 10 ? dt * t * (1.0 - t)
                          : dt * dtanh(c, z, t));
  o("dW", W, m == 11 ? matmul(Hs.T(), dt) : matmul(Hs.T(), dz));
  o("dU", U, m == 12 ? outer(q, mean(dz, 0)) : m == 13 ? outer(q, dz[0]) : outer(q, sum(dz, 0)));
  return o;
}

const Registered r1({"t-sne",
                     tsne,
                     usual({1e-3, 1e-1}),
                     {{2, "sign of the term of S", SIGNS, "dW"},
                      {3, "sign of dD", SIGNS, "dD"},
                      {4, "term of Q missing", TERM, "dD"},
                      {5, "W twice", EXTRA + POWER, "dD"},
                      {6, "W missing", MISSF, "dD"},
                      {7, "2 for 4", HALF, "dY"},
                      {8, "term of the others missing", TERM, "dY"},
                      {9, "sign of a term", SIGNS, "dY"},
                      {10, "mean for sum", MEANSUM + times("5", "0.2"), "dY"},
                      {11, "own term missing", TERM, "dY"},
                      {5, "W twice", EXTRA + POWER, "dY", {"dY"}},
                      {7, "2 for 4", HALF, "dY", {}, true},
                      {8, "term of the others missing", TERM, "dY", {}, true}}});
const Registered r2({"barlow twins",
                     barlow,
                     usual(S4),
                     {{1, "weights missing", MISSF, "dC"},
                      {2, "2 missing", HALF, "dC"},
                      {3, "term of λ missing", TERM + MISSF + W{"0.1"}, "dC"},
                      {4, "I missing", TERM, "dC"},
                      {5, "sign", SIGNS, "dC"},
                      {6, "λ² for λ", times("10", "0.1") + POWER + W{"0.01"}, "dC"},
                      {7, "transposition", TRANS, "dA"},
                      {8, "1/N missing", batch(7), "dA"},
                      {9, "A for B", WHICH, "dA"},
                      {10, "transposition", TRANS, "dB"},
                      {11, "sign", SIGNS, "dB"},
                      {12, "second branch missing", PATH, "dW"},
                      {13, "inputs exchanged", WHICH, "dW"},
                      {14, "sign of a term", SIGNS, "dW"},
                      {2, "2 missing", HALF, "dW", {"dW"}},
                      {12, "second branch missing", PATH, "dW", {}, true},
                      {9, "A for B", WHICH, "dA", {}, true}}});
const Registered r3({"cosine margin",
                     cosface,
                     usual({1e-3, 1e3}),
                     {{1, "1/N missing", batch(5), "dz"},
                      {2, "sign", SIGNS, "dz"},
                      {3, "margin missing", TERM + WHICH + W{"0.25"}, "dz"},
                      {4, "softmax over the wrong axis", AXIS, "dz"},
                      {5, "scale missing", FACTOR + times("6", "0.166667"), "dC"},
                      {6, "margin too much", EXTRA, "dC"},
                      {7, "X for U", WHICH, "dV"},
                      {8, "path through the norm missing", PATH, "dW"},
                      {9, "1/r missing", MISSF, "dW"},
                      {10, "sign of a term", SIGNS, "dW"},
                      {11, "V missing", MISSF, "dW"},
                      {12, "sum over the wrong axis", AXIS, "dW"},
                      {13, "W for V", WHICH + MISSF, "dW"},
                      {8, "path through the norm missing", PATH, "dW", {}, true},
                      {5, "scale missing", FACTOR + times("6", "0.166667"), "dV", {"dV"}}}});
const Registered r4({"hopfield",
                     hopfield,
                     usual({1e-3}),
                     {{1, "1/β missing", FACTOR + times("2.5", "0.4"), "ds"},
                      {2, "sign", SIGNS, "ds"},
                      {3, "s for its softmax", FUNC + WHICH + W{"softmax"}, "ds"},
                      {4, "normalisation missing", MISSF + FUNC + W{"softmax"}, "ds"},
                      {5, "q missing", TERM, "dq"},
                      {6, "β missing in a term", FACTOR + times("2.5", "0.4"), "dq"},
                      {7, "½ forgotten", HALF, "dq"},
                      {8, "sign of a term", SIGNS, "dq"},
                      {9, "0.3 missing", FACTOR + times("3.33333", "0.3"), "dq"},
                      {10, "energy's path missing", PATH, "dq"},
                      {14, "term of y missing", TERM, "dq"},
                      {11, "β missing", FACTOR + times("2.5", "0.4"), "dX"},
                      {12, "s for ds", WHICH, "dX"},
                      {10, "energy's path missing", PATH, "dq", {}, true},
                      {6, "β missing in a term", FACTOR + times("2.5", "0.4"), "dq", {}, true}}});
const Registered r5(
    {"additive attention",
     additive,
     usual(S4, {"saturated"}),
     {{1, "½ forgotten", HALF, "dc"},
      {2, "s for H", WHICH + MISSF, "da"},
      {3, "softmax by its diagonal", TERM + STEP + W{"diagonal", "softmax'"}, "ds"},
      {4, "softmax by its diagonal", W{"diagonal", "softmax'", "Jacobian", "the sum is missing"},
       "ds"},
      {5, "factor a inside of the sum missing", MISSF + W{"a&missing"}, "ds"},
      {6, "sign", SIGNS, "ds"},
      {7, "z for t", WHICH + FUNC, "dv"},
      {8, "tanh' missing", SLOPE + MISSF, "dz"},
      {9, "square missing", POWER, "dz"},
      {10, "σ' for tanh'", FUNC + SLOPE, "dz"},
      {11, "tanh' missing", WHICH + SLOPE + MISSF, "dW"},
      {12, "mean for sum", MEANSUM + times("5", "0.2"), "dU"},
      {13, "first step alone", STEP + W{"not summed", "[0]"}, "dU"},
      {3, "softmax by its diagonal", TERM + STEP + W{"diagonal", "softmax'"}, "dz", {"dz"}},
      {8, "tanh' missing", SLOPE + MISSF, "dW", {"dW"}},
      {4,
       "softmax by its diagonal",
       W{"diagonal", "softmax'", "Jacobian", "the sum is missing"},
       "ds",
       {"ds"},
       true}}});

}  // namespace
