// Reprojection error of a camera, Michaelis–Menten kinetics, log-cosh loss over sine features.

#include <cmath>
#include <numbers>

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

Out camera(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9);
  const double n = double(N), k = c.scale;
  Tensor X = c.D("X", {N}, k), Y = c.D("Y", {N}, k), Z = c.dat("Z", c.unif({N}, 4 * k, 7 * k)),
         U = c.D("U", {N}), V = c.D("V", {N});
  Tensor th = c.par("th", full({}, 0.7, f64)), tx = c.P("tx", {}, 0.3 * k),
         tz = c.P("tz", {}, 0.3 * k), F = c.par("F", full({}, 1.8, f64));
  Tensor x = (cos(th) * X - sin(th) * Y + tx).named("x"),
         y = (sin(th) * X + cos(th) * Y).named("y"), z = (Z + tz).named("z");
  Tensor u = (F * x / z).named("u"), v = (F * y / z).named("v");
  if (c.is("zero")) U = c.dat("U", u), V = c.dat("V", v);
  o.loss = 0.5 * mean(square(u - U) + square(v - V));
  Tensor du = m == 9    ? (U - u) / n
              : m == 10 ? u - U
                        : (u - U) / n,
         dv = m == 11 ? (v - U) / n : (v - V) / n;
  o("du", u, du), o("dv", v, dv);
  Tensor dx = m == 8 || m == 13 ? du / z
              : m == 14         ? F * du / square(z)
                                : F * du / z,
         dy = m == 12 ? F * du / z : F * dv / z;
  o("dx", x, dx), o("dy", y, dy);
  Tensor dz = m == 1    ? -(F * x * du) / square(z)
              : m == 2  ? F * (x * du + y * dv) / square(z)
              : m == 3  ? -F * (x * du + y * dv) / z
              : m == 15 ? -F * (y * du + x * dv) / square(z)
                        : -F * (x * du + y * dv) / square(z);
  o("dz", z, dz);
  Tensor C = cos(th), S = sin(th),
         a = m == 4   ? dx * (-(C * X) - S * Y)
             : m == 5 ? dx * (S * X - C * Y)
                      : dx * (-(S * X) - C * Y),
         b = dy * (C * X - S * Y);
  o("dth", th, m == 16 ? sum(a) : sum(a + b)), o("dtx", tx, m == 6 ? mean(dx) : sum(dx)),
      o("dtz", tz, sum(dz));
  o("dF", F,
    m == 7    ? sum(du * x / z)
    : m == 17 ? sum(du * u + dv * v)
              : sum(du * x / z + dv * y / z));
  return o;
}

Out michaelis(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 6, 10);
  const double n = double(N), k = c.scale;
  Tensor S = c.dat("S", c.unif({N}, 0.3 * k, 3 * k)), I = c.dat("I", c.unif({N}, 0.2, 2)),
         R = c.D("R", {N}, 0.4);
  Tensor a = c.par("a", full({}, 0.6, f64)), b = c.par("b", full({}, 0.2 + std::log(k), f64)),
         g = c.par("g", full({}, -0.3, f64));
  Tensor A = exp(a).named("A"), K = exp(b).named("K"), G = exp(g).named("G");
  Tensor H = (K * (1.0 + I / G)).named("H"), D = (H + S).named("D"), v = (A * S / D).named("v");
  if (c.is("zero")) R = c.dat("R", v);
  o.loss = 0.5 * mean(square(v - R));
  Tensor dv = m == 5 ? (R - v) / n : m == 7 ? v - R : m == 8 ? 2.0 * (v - R) / n : (v - R) / n;
  o("dv", v, dv);
  Tensor dD = m == 1    ? dv * A * S / square(D)
              : m == 2  ? -(dv * A * S) / D
              : m == 4  ? -(dv * A) / square(D)
              : m == 14 ? -(dv * A * S) / (D * D * D)
                        : -(dv * A * S) / square(D);
  o("dD", D, dD);
  o("dA", A, m == 6 ? sum(dv * R / D) : m == 15 ? sum(dv * S / H) : sum(dv * S / D));
  Tensor dK = m == 9 || m == 16 ? sum(dD)
              : m == 10         ? sum(dD * (1.0 + G * I))
              : m == 17         ? sum(dD * (1.0 - I / G))
                                : sum(dD * (1.0 + I / G));
  o("dK", K, dK);
  Tensor dG = m == 11   ? sum(dD * K * I / square(G))
              : m == 12 ? -sum(dD * K * I / G)
              : m == 13 ? -sum(dD * I / square(G))
                        : -sum(dD * K * I / square(G));
  o("dG", G, dG);
  o("da", a, m == 3 ? sum(dv * S / D) : A * sum(dv * S / D)), o("db", b, K * dK),
      o("dg", g, G * dG);
  return o;
}

Out logcosh(const Ctx& c, int m) {
  Out o;
  const std::int64_t N = pick(c, 5, 9), d = pick(c, 3, 4), k = pick(c, 4, 3);
  Tensor X = c.D("X", {N, d}, c.scale), Wt = c.P("W", {d, k}, 0.8 * inv(c)), b = c.P("b", {k}),
         u = c.P("u", {k}), y = c.D("y", {N});
  const double n = double(N);
  Tensor z = (matmul(X, Wt) + b).named("z"), h = sin(z).named("h"), q = matmul(h, u).named("q");
  if (c.is("zero")) y = c.dat("y", q);
  if (c.is("saturated")) y = c.dat("y", y * 300.0);
  Tensor r = (q - y).named("r");
  o.loss = mean(softplus(-2.0 * r) + r);
  Tensor t = tanh(r);
  Tensor dr = m == 1    ? r / n
              : m == 2  ? (1.0 - square(t)) / n
              : m == 3  ? -t / n
              : m == 4  ? t
              : m == 10 ? sigmoid(r) / n
              : m == 11 ? 2.0 * t / n
              : m == 12 ? sign(r) / n
                        : t / n;
  o("dr", r, dr), o("du", u,
                    m == 5    ? matmul(z.T(), dr)
                    : m == 13 ? matmul(cos(z).T(), dr)
                              : matmul(h.T(), dr));
  Tensor dh = outer(dr, u);
  o("dh", h, dh);
  Tensor dz = m == 6              ? dh * sin(z)
              : m == 7 || m == 15 ? -(dh * cos(z))
              : m == 8            ? dh
              : m == 9            ? dh * cos(h)
                                  : dh * cos(z);
  o("dz", z, dz), o("dW", Wt, matmul(X.T(), dz)), o("db", b, m == 14 ? mean(dz, 0) : sum(dz, 0));
  return o;
}

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};
const Registered r1(
    {"camera",
     camera,
     usual(S4, {"zero"}),
     {{1, "path through v missing", PATH, "dz"},
      {2, "sign of dz", SIGNS, "dz"},
      {3, "z for z²", POWER, "dz"},
      {15, "x and y exchanged", WHICH, "dz"},
      {4, "sin and cos exchanged", FUNC + W{"swapped", "exchanged", "cos&sin&instead"}, "dth"},
      {5, "sign of sin", SIGNS, "dth"},
      {16, "path through y missing", PATH, "dth"},
      {6, "mean for sum", MEANSUM + times("5", "0.2"), "dtx"},
      {7, "path through v missing", PATH, "dF"},
      {17, "1/F missing", MISSF + WHICH + times("1.8", "0.555556"), "dF"},
      {8, "F missing", MISSF + times("1.8", "0.555556") + W{"F&missing"}, "dx"},
      {14, "z² for z", POWER, "dx"},
      {12, "du for dv", WHICH, "dy"},
      {9, "sign of du", SIGNS, "du"},
      {10, "1/N missing", batch(5), "du"},
      {11, "U for V", WHICH, "dv"},
      {13, "F missing", MISSF + times("1.8", "0.555556") + W{"F&missing"}, "dtx", {"dtx"}},
      {2, "sign of dz", SIGNS, "dz", {}, true},
      {1, "path through v missing", PATH, "dtz", {"dtz"}}}});
const Registered r2({"michaelis-menten",
                     michaelis,
                     usual(S4, {"zero"}),
                     {{1, "sign of dD", SIGNS, "dD"},
                      {2, "D for D²", POWER, "dD"},
                      {14, "D³ for D²", POWER + W{"³"}, "dD"},
                      {4, "S missing", MISSF, "dD"},
                      {6, "R for S", WHICH, "dA"},
                      {15, "H for D", WHICH + TERM, "dA"},
                      {3, "exp missing",
                       MISSF + times("1.82212", "0.548812") + W{"exp&missing", "A&missing"}, "da"},
                      {5, "sign of dv", SIGNS, "dv"},
                      {7, "1/N missing", batch(6), "dv"},
                      {8, "½ forgotten", HALF, "dv"},
                      {9, "inhibitor's term missing", PATH + MISSF, "dK"},
                      {10, "times G for by G",
                       WHICH + POWER + W{"divi", "reciprocal", "invers", "⊘&missing"}, "dK"},
                      {17, "sign of I/G", SIGNS, "dK"},
                      {11, "sign of dG", SIGNS, "dG"},
                      {12, "G for G²", POWER + times("1.34986", "0.740818"), "dG"},
                      {13, "K missing", MISSF + times("1.2214", "0.818731") + W{"K&missing"}, "dG"},
                      {16, "inhibitor's term missing", PATH + MISSF, "db", {"db"}},
                      {12, "G for G²", POWER + times("1.34986", "0.740818"), "dG", {}, true},
                      {11, "sign of dG", SIGNS, "dg", {"dg"}}}});
const Registered r3({"log-cosh",
                     logcosh,
                     usual(S4, {"zero", "saturated"}),
                     {{1, "r for tanh r", FUNC + WHICH + W{"tanh&missing"}, "dr"},
                      {2, "tanh' for tanh", FUNC + EXTRA, "dr"},
                      {10, "σ for tanh", FUNC, "dr"},
                      {12, "sign for tanh", FUNC, "dr"},
                      {3, "sign of dr", SIGNS, "dr"},
                      {4, "1/N missing", batch(5), "dr"},
                      {11, "a 2 too much", HALF, "dr"},
                      {5, "z for h", WHICH + FUNC, "du"},
                      {13, "cos for sin", FUNC + WHICH, "du"},
                      {6, "sin for cos", FUNC, "dz"},
                      {7, "−cos for cos", SIGNS, "dz"},
                      {8, "cos missing", SLOPE + MISSF + W{"cos&missing"}, "dz"},
                      {9, "cos at h", SLOPE + WHICH, "dz"},
                      {14, "mean for sum", MEANSUM + times("5", "0.2"), "db"},
                      {15, "−cos for cos", SIGNS, "dW", {"dW"}},
                      {6, "sin for cos", FUNC, "dz", {}, true},
                      {12, "sign for tanh", FUNC, "dr", {}, true}}});
}  // namespace
