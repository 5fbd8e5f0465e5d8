// Triplet loss, Siamese net with cosine similarity, GloVe, leaky integrator net, maxout.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out triplet(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 4, 7), d = pick(c, 3, 5), k = pick(c, 3, 4);
  Tensor A = c.D("A", {n, d}, c.scale), P = c.D("P", {n, d}, c.scale),
         Q = c.D("Q", {n, d}, c.scale), Wt = c.P("W", {d, k}, 0.5 * inv(c));
  if (c.is("kink")) Q = c.dat("Q", P);
  const double N = double(n), margin = c.is("kink") ? 0 : c.is("zero") ? -100 : 1;
  Tensor za = matmul(A, Wt).named("za"), zp = matmul(P, Wt).named("zp"),
         zq = matmul(Q, Wt).named("zq");
  Tensor a = tanh(za).named("a"), p = tanh(zp).named("p"), q = tanh(zq).named("q");
  Tensor u = (margin + sum(square(a - p), 1) - sum(square(a - q), 1)).named("u");
  o.loss = mean(relu(u));
  Tensor du = m == 7 ? ones({n}, c.dt) / N : c.num(u > 0.0) / N;
  o("du", u, du);
  Tensor g = 2.0 * col(du);
  Tensor da = m == 1 ? g * (a - p) : m == 11 ? g * ((a - p) + (a - q)) : g * ((a - p) - (a - q));
  Tensor dp = m == 2 || m == 10 ? g * (a - p) : -(g * (a - p)),
         dq = m == 3 || m == 9 ? col(du) * (a - q) : g * (a - q);
  o("da", a, da), o("dp", p, dp), o("dq", q, dq);
  Tensor dza = m == 5 ? da * (1.0 - a) : m == 6 ? da * dtanh(c, zp, p) : da * dtanh(c, za, a);
  Tensor dzp = dp * dtanh(c, zp, p), dzq = dq * dtanh(c, zq, q);
  o("dza", za, dza), o("dzp", zp, dzp), o("dzq", zq, dzq);
  o("dW", Wt,
    m == 4   ? matmul(A.T(), dza) + matmul(P.T(), dzp)
    : m == 8 ? matmul(A.T(), dza) + matmul(A.T(), dzp) + matmul(Q.T(), dzq)
             : matmul(A.T(), dza) + matmul(P.T(), dzp) + matmul(Q.T(), dzq));
  return o;
}

Out siamese(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 5, 8), d = pick(c, 3, 5), k = pick(c, 4, 3);
  Tensor X = c.D("X", {n, d}, c.scale), Z = c.D("Z", {n, d}, c.scale), Wt = c.P("W", {d, k}, 0.7);
  Tensor a = matmul(X, Wt).named("a"), b = matmul(Z, Wt).named("b");
  Tensor r = sqrt(sum(square(a), 1)).named("r"), q = sqrt(sum(square(b), 1)).named("q");
  Tensor s = (sum(a * b, 1) / (r * q)).named("s");
  Tensor t = c.is("zero") ? c.dat("t", s) : c.signs("t", {n});
  o.loss = 0.5 * mean(square(s - t));
  const double N = double(n);
  Tensor ds = m == 5 ? (t - s) / N : m == 8 ? s - t : m == 10 ? 2.0 * (s - t) / N : (s - t) / N;
  o("ds", s, ds);
  Tensor g = col(ds), S = col(s), R = col(r), Q = col(q);
  Tensor da = m == 1 || m == 9 ? g * b / (R * Q)
              : m == 2         ? g * (b / (R * Q) - S * a / R)
              : m == 6         ? g * (b / (R * Q) + S * a / square(R))
              : m == 7         ? g * (b / (R * Q) - a / square(R))
                               : g * (b / (R * Q) - S * a / square(R));
  Tensor db = m == 3    ? g * (b / (R * Q) - S * b / square(Q))
              : m == 11 ? g * (a / (R * Q) - S * b / square(R))
                        : g * (a / (R * Q) - S * b / square(Q));
  o("da", a, da), o("db", b, db);
  o("dW", Wt,
    m == 4    ? matmul(X.T(), da)
    : m == 12 ? matmul(X.T(), da) + matmul(X.T(), db)
              : matmul(X.T(), da) + matmul(Z.T(), db));
  return o;
}

Out glove(const Ctx& c, int m) {
  Out o;
  const std::int64_t n = pick(c, 4, 6), q = pick(c, 4, 5), k = pick(c, 3, 2);
  Tensor Wt = c.P("W", {n, k}), V = c.P("V", {q, k}), b = c.P("b", {n}), e = c.P("c", {q}),
         L = c.D("L", {n, q});
  Tensor F = c.dat("F", c.unif({n, q}, 0.1 * c.scale, c.scale));
  if (c.is("zero")) L = c.dat("L", matmul(Wt, V.T()) + col(b) + row(e));
  if (c.is("masked")) F = c.dat("F", F * c.bern("B", {n, q}));
  Tensor S = (matmul(Wt, V.T()) + col(b) + row(e)).named("S");
  o.loss = sum(F * square(S - L));
  Tensor dS = m == 1    ? F * (S - L)
              : m == 2  ? 2.0 * (S - L)
              : m == 6  ? 2.0 * F * F * (S - L)
              : m == 7  ? 2.0 * F * (L - S)
              : m == 9  ? 2.0 * F * S
              : m == 10 ? 2.0 * F * square(S - L)
                        : 2.0 * F * (S - L);
  o("dS", S, dS);
  o("dW", Wt, m == 4 ? matmul(dS, Wt) : matmul(dS, V));
  o("dV", V, m == 5 ? matmul(dS, Wt) : matmul(dS.T(), Wt));
  o("db", b, m == 3 ? sum(dS, 0) : m == 8 ? mean(dS, 1) : sum(dS, 1));
  o("dc", e, sum(dS, 0));
  return o;
}

Out leaky(const Ctx& c, int m) {
  Out o;
  const std::int64_t T = pick(c, 3, 5), k = 3, d = pick(c, 2, 4);
  const double al = 0.3;
  Tensor X = c.D("X", {T, d}, c.scale), Wt = c.P("W", {k, k}, 0.7),
         U = c.P("U", {k, d}, (c.is("saturated") ? 25 : 0.7) * inv(c)), b = c.P("b", {k}, 0.3),
         y = c.D("y", {k});
  std::vector<Tensor> h{c.D("h0", {k}, 0.5)}, z{Tensor()}, x{Tensor()}, dh(T + 1), dz(T + 1);
  for (std::int64_t t = 1; t <= T; ++t) {
    x.push_back(X[t - 1].named(nm("x", t)));
    z.push_back((matmul(Wt, h[t - 1]) + matmul(U, x[t]) + b).named(nm("z", t)));
    h.push_back(((1 - al) * h[t - 1] + al * tanh(z[t])).named(nm("h", t)));
  }
  o.loss = 0.5 * sum(square(h[T] - y));
  dh[T] = h[T] - y;
  Tensor dW, dU, db;
  for (std::int64_t t = T; t > 0; --t) {
    o(nm("dh", t).c_str(), h[t], dh[t]);
    Tensor sl = m == 8    ? 1.0 - square(h[t])
                : m == 12 ? dsig(c, z[t], sigmoid(z[t]))
                          : dtanh(c, z[t], tanh(z[t]));
    dz[t] = m == 3 ? dh[t] * sl : al * dh[t] * sl;
    o(nm("dz", t).c_str(), z[t], dz[t]);
    if (t > 1)
      dh[t - 1] = m == 1 || m == 9 ? matmul(Wt.T(), dz[t])
                  : m == 2         ? (1 - al) * dh[t]
                  : m == 4         ? (1 - al) * dh[t] + matmul(Wt, dz[t])
                  : m == 5         ? al * dh[t] + matmul(Wt.T(), dz[t])
                  : m == 11        ? dh[t] + matmul(Wt.T(), dz[t])
                                   : (1 - al) * dh[t] + matmul(Wt.T(), dz[t]);
    Tensor w = outer(dz[t], m == 6 ? h[t] : h[t - 1]), u = outer(dz[t], x[t]);
    dW = dW.defined() ? dW + w : w;
    if (!(m == 7 && t < T)) dU = dU.defined() ? dU + u : u;
    if (!(m == 10 && t == 1)) db = db.defined() ? db + dz[t] : dz[t];
  }
  o("dW", Wt, dW), o("dU", U, dU), o("db", b, db);
  return o;
}

Out maxout(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 8), d = pick(c, 3, 4), k = pick(c, 3, 5);
  Tensor X = c.D("X", {N, d}, c.scale), V = c.P("V", {d, k}, 0.7 * inv(c)),
         Wt = c.is("kink") ? c.par("W", V) : c.P("W", {d, k}, 0.7 * inv(c));
  Tensor b = c.P("b", {k}, 0.3), e = c.is("kink") ? c.par("e", b) : c.P("e", {k}, 0.3),
         u = c.P("u", {k}), y = c.D("y", {N});
  Tensor z1 = (matmul(X, V) + b).named("z1"), z2 = (matmul(X, Wt) + e).named("z2"),
         h = maximum(z1, z2).named("h"), q = matmul(h, u).named("q");
  o.loss = 0.5 * mean(square(q - y));
  const double n = double(N);
  Tensor dq = m == 6 ? (y - q) / n : m == 9 ? q - y : (q - y) / n;
  o("dq", q, dq);
  o("du", u, m == 4 ? matmul(z1.T(), dq) : matmul(h.T(), dq));
  Tensor dh = m == 8 ? col(dq) * row(sign(u)) : outer(dq, u);
  o("dh", h, dh);
  Tensor g1 = m == 1   ? dh * c.num(z1 < z2)
              : m == 2 ? dh
              : m == 5 ? dh * c.num(z1 > 0.0)
                       : dh * c.num(z1 >= z2);
  Tensor g2 = m == 10   ? dh * c.num(z2 > 0.0)
              : m == 11 ? -(dh * c.num(z2 > z1))
                        : dh * c.num(z2 > z1);
  o("dz1", z1, g1), o("dz2", z2, g2);
  o("dV", V, matmul(X.T(), g1)), o("dW", Wt, m == 3 ? matmul(X.T(), g1) : matmul(X.T(), g2));
  o("db", b, m == 7 ? mean(g1, 0) : sum(g1, 0)), o("de", e, sum(g2, 0));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1({"triplet",
                     triplet,
                     usual(S4, {"kink", "zero"}),
                     {{1, "negative's part missing in da", PATH, "da"},
                      {11, "sign of the negative's part", SIGNS, "da"},
                      {2, "sign of dp", SIGNS, "dp"},
                      {3, "2 missing in dq", HALF, "dq"},
                      {4, "negative's path missing in dW", PATH, "dW"},
                      {5, "square missing", POWER + SLOPE, "dza"},
                      {6, "slope at zp", SLOPE + WHICH, "dza"},
                      {7, "mask missing", MASK + W{"factor"}, "du"},
                      {8, "A for P", WHICH, "dW"},
                      {9, "2 missing in dq", HALF, "dW", {"dW"}},
                      {10, "sign of dp", SIGNS, "dp", {}, true},
                      {1, "negative's part missing", PATH, "da", {}, true}}});
const Registered r2({"siamese cosine",
                     siamese,
                     usual(S4, {"zero"}),
                     {{1, "path through the norm missing", PATH, "da"},
                      {2, "r for r²", POWER, "da"},
                      {3, "b for a", WHICH, "db"},
                      {11, "norm of a for that of b", WHICH, "db"},
                      {4, "second branch missing", PATH, "dW"},
                      {12, "X for Z", WHICH, "dW"},
                      {5, "sign of ds", SIGNS, "ds"},
                      {6, "sign of the norm's part", SIGNS, "da"},
                      {7, "s missing", MISSF, "da"},
                      {8, "1/n missing", batch(5), "ds"},
                      {10, "½ forgotten", HALF, "ds"},
                      {9, "path through the norm missing", PATH, "dW", {"dW"}},
                      {6, "sign of the norm's part", SIGNS, "da", {}, true}}});
const Registered r3({"glove",
                     glove,
                     usual(S4, {"zero", "masked"}),
                     {{1, "2 missing", HALF, "dS"},
                      {2, "F missing", MISSF, "dS"},
                      {6, "F²", POWER + EXTRA, "dS"},
                      {7, "sign of dS", SIGNS, "dS"},
                      {9, "L missing", TERM, "dS"},
                      {10, "residual squared", POWER + FUNC + EXTRA, "dS"},
                      {3, "sum over the wrong axis", AXIS, "db"},
                      {8, "mean for sum", MEANSUM + times("4", "0.25"), "db"},
                      {4, "W for V", WHICH, "dW"},
                      {5, "dS not transposed", TRANS, "dV"},
                      {5, "dS not transposed", TRANS, "dV", {}, true},
                      {4, "W for V", WHICH, "dW", {}, true},
                      {2, "F missing", MISSF, "dW", {"dW"}}}});
const Registered r4(
    {"leaky net",
     leaky,
     usual(S4, {"saturated"}),
     {{1, "leak's path missing", PATH, "dh2"},
      {2, "recurrent path missing", PATH, "dh2"},
      {3, "α missing", FACTOR + times("3.33333", "0.3") + W{"0.3&missing"}, "dz3"},
      {4, "W not transposed", TRANS, "dh2"},
      {5, "α for 1 − α", NUMBER + STANDS + W{"0.3&0.7", "factor"}, "dh2"},
      {11, "1 − α missing",
       NUMBER + W{"0.7&missing", "factor", "factor of 1.42857", "factor of 0.7"}, "dh2"},
      {6, "hₜ for hₜ₋₁", TIME + WHICH, "dW"},
      {7, "last step alone", STEP, "dU"},
      {8, "slope at h", SLOPE + WHICH, "dz3"},
      {12, "σ' for tanh'", FUNC, "dz3"},
      {9, "leak's path missing", PATH, "dU", {"dU"}},
      {10, "a step missing", STEP, "db", {}, true},
      {5, "α for 1 − α", NUMBER + STANDS + W{"0.3&0.7", "factor"}, "dh2", {}, true}}});
const Registered r5({"maxout",
                     maxout,
                     usual(S4, {"kink"}),
                     {{1, "mask the wrong way round", MASK + SIGNS + WHICH, "dz1"},
                      {2, "mask missing", MASK + W{"factor"}, "dz1"},
                      {5, "relu's mask", MASK + FUNC, "dz1"},
                      {10, "relu's mask", MASK + FUNC, "dz2"},
                      {11, "sign of dz2", SIGNS, "dz2"},
                      {3, "dz1 for dz2", WHICH, "dW"},
                      {4, "z1 for h", WHICH, "du"},
                      {6, "sign of dq", SIGNS, "dq"},
                      {9, "1/N missing", batch(5), "dq"},
                      {8, "sign u for u", FUNC + WHICH + W{"sign(u)&factor", "factor"}, "dh"},
                      {7, "mean for sum", MEANSUM + times("5", "0.2"), "db"},
                      {2, "mask missing", MASK + WHICH + W{"factor"}, "dV", {"dV"}},
                      {3, "dz1 for dz2", WHICH, "dW", {}, true}},
                     {"kink"}});
}  // namespace
