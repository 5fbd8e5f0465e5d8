// Lotka-Volterra, logistic growth by the midpoint rule, minimal gated unit.
// Chosen by somebody who knows how they are checked: they say less than the others about models
// that were never seen.

#include <chainrule/tests/graph/checking/cases/words.hpp>

using namespace cases;
namespace {

const std::vector<double> S4{1e-6, 1e-3, 1e3, 1e6};

Out lotka(const Ctx& c, int m) {
  Out o;
  const int T = c.size > 1 ? 6 : 3;
  const double h = 0.15;
  Tensor a = c.par("α", full({}, 1.1, f64)), b = c.par("β", full({}, 0.7, f64)),
         g = c.par("γ", full({}, 0.9, f64)), e = c.par("δ", full({}, 0.5, f64));
  std::vector<Tensor> x{c.par("x0", full({}, 1.4, f64))}, y{c.par("y0", full({}, 0.8, f64))};
  for (int t = 1; t <= T; ++t) {
    Tensor xy = x[t - 1] * y[t - 1];
    x.push_back((x[t - 1] + h * (a * x[t - 1] - b * xy)).named(nm("x", t)));
    y.push_back((y[t - 1] + h * (e * xy - g * y[t - 1])).named(nm("y", t)));
  }
  Tensor u = c.D("u", {}), v = c.D("v", {});
  o.loss = 0.5 * square(x[T] - u) + 0.5 * square(y[T] - v);
  Tensor dx = o(nm("dx", T).c_str(), x[T], m == 1 ? 2.0 * (x[T] - u) : x[T] - u),
         dy = o(nm("dy", T).c_str(), y[T], m == 2 ? v - y[T] : y[T] - v), da, db, dg, de;
  auto add = [](Tensor& s, const Tensor& t) { s = s.defined() ? s + t : t; };
  for (int t = T; t >= 1; --t) {
    const Tensor &p = x[t - 1], &q = y[t - 1];
    add(da, m == 3 ? dx * p : h * dx * p),
        add(db, m == 4   ? h * dx * p * q
                : m == 5 ? -h * dx * p
                         : -h * dx * p * q),
        add(dg, m == 6 ? -h * dy * p : -h * dy * q),
        add(de, m == 7 ? h * dx * p * q : h * dy * p * q);
    Tensor nx = dx * (m == 8    ? h * (a - b * q)
                      : m == 9  ? 1.0 + h * a
                      : m == 14 ? 1.0 + h * (a + b * q)
                                : 1.0 + h * (a - b * q)),
           ny = dy * (m == 10 ? 1.0 + h * (e * q - g) : 1.0 + h * (e * p - g));
    if (m != 11) nx = nx + h * e * q * dy;
    if (m != 12) ny = m == 13 ? ny + h * b * p * dx : ny - h * b * p * dx;
    dx = o(nm("dx", t - 1).c_str(), x[t - 1], nx), dy = o(nm("dy", t - 1).c_str(), y[t - 1], ny);
  }
  o("dα", a, da), o("dβ", b, db), o("dγ", g, dg), o("dδ", e, de);
  return o;
}

Out growth(const Ctx& c, int m) {
  Out o;
  const int T = c.size > 1 ? 5 : 3, n = c.size > 1 ? 6 : 4;
  const double h = 0.3;
  Tensor K = c.par("K", c.unif({n}, 2, 3)), r = c.par("r", c.unif({n}, 0.5, 1)), y = c.D("y", {n});
  std::vector<Tensor> u{c.par("u0", c.unif({n}, 0.4, 1.5))}, k{{}}, p{{}};
  auto f = [&](const Tensor& x) { return r * x * (1.0 - x / K); };
  for (int t = 1; t <= T; ++t) {
    p.push_back((u[t - 1] + 0.5 * h * f(u[t - 1])).named(nm("p", t)));
    u.push_back((u[t - 1] + h * f(p[t])).named(nm("u", t)));
  }
  o.loss = 0.5 * sum(square(u[T] - y));
  Tensor du = o(nm("du", T).c_str(), u[T], m == 1 ? y - u[T] : u[T] - y), dr;
  auto slope = [&](const Tensor& x) { return r * (1.0 - 2.0 * x / K); };
  for (int t = T; t >= 1; --t) {
    Tensor dp = o(nm("dp", t).c_str(), p[t],
                  m == 2   ? du * slope(p[t])
                  : m == 3 ? h * du * r * (1.0 - p[t] / K)
                  : m == 4 ? h * du * slope(u[t - 1])
                  : m == 5 ? h * du * r
                  : m == 6 ? h * du * (1.0 - 2.0 * p[t] / K)
                  : m == 7 ? h * du * r * (1.0 + 2.0 * p[t] / K)
                           : h * du * slope(p[t]));
    Tensor g = h * du * p[t] * (1.0 - p[t] / K) + (m == 8   ? 0.0
                                                   : m == 9 ? h
                                                            : 0.5 * h) *
                                                      dp * u[t - 1] * (1.0 - u[t - 1] / K);
    dr = dr.defined() ? dr + g : g;
    du = o(nm("du", t - 1).c_str(), u[t - 1],
           m == 10   ? du + 0.5 * h * dp * slope(u[t - 1])
           : m == 11 ? dp * (1.0 + 0.5 * h * slope(u[t - 1]))
           : m == 12 ? du + dp * (1.0 + h * slope(u[t - 1]))
           : m == 13 ? du + dp
                     : du + dp * (1.0 + 0.5 * h * slope(u[t - 1])));
  }
  o("dr", r, dr);
  return o;
}

Out mgu(const Ctx& c, int m) {
  Out o;
  const std::int64_t T = pick(c, 3, 5), D = 2, H = pick(c, 3, 4);
  const double k = c.is("saturated") ? 9 : 0.8;
  Tensor Wf = c.P("Wf", {H, D}, k * inv(c)), Uf = c.P("Uf", {H, H}, k),
         Wn = c.P("Wn", {H, D}, k * inv(c)), Un = c.P("Un", {H, H}, k), y = c.D("y", {H});
  std::vector<Tensor> x{{}}, h{c.P("h0", {H}, 0.5)}, a{{}}, f{{}}, b{{}}, s{{}};
  for (std::int64_t t = 1; t <= T; ++t) {
    x.push_back(c.D(nm("x", t).c_str(), {D}, c.scale));
    a.push_back((matmul(Wf, x[t]) + matmul(Uf, h[t - 1])).named(nm("a", t))),
        f.push_back(sigmoid(a[t]).named(nm("f", t)));
    b.push_back((matmul(Wn, x[t]) + matmul(Un, f[t] * h[t - 1])).named(nm("b", t))),
        s.push_back(tanh(b[t]).named(nm("s", t)));
    h.push_back(((1.0 - f[t]) * h[t - 1] + f[t] * s[t]).named(nm("h", t)));
  }
  o.loss = 0.5 * sum(square(h[T] - y));
  Tensor dh = o(nm("dh", T).c_str(), h[T], h[T] - y), dUn, dWf;
  auto add = [](Tensor& g, const Tensor& t) { g = g.defined() ? g + t : t; };
  for (std::int64_t t = T; t >= 1; --t) {
    Tensor ds = o(nm("ds", t).c_str(), s[t], m == 1 ? dh * (1.0 - f[t]) : m == 2 ? dh : dh * f[t]);
    Tensor db = o(nm("db", t).c_str(), b[t],
                  m == 3   ? ds
                  : m == 4 ? ds * s[t] * (1.0 - s[t])
                           : ds * dtanh(c, b[t], s[t]));
    Tensor g = matmul(m == 5 ? Un : Un.T(), db);
    Tensor df = o(nm("df", t).c_str(), f[t],
                  m == 6   ? dh * (s[t] - h[t - 1])
                  : m == 7 ? dh * (s[t] + h[t - 1]) + g * h[t - 1]
                  : m == 8 ? dh * (s[t] - h[t - 1]) + g
                  : m == 9 ? dh * s[t] + g * h[t - 1]
                           : dh * (s[t] - h[t - 1]) + g * h[t - 1]);
    Tensor da = o(nm("da", t).c_str(), a[t], m == 10 ? df * f[t] : df * dsig(c, a[t], f[t]));
    add(dUn, outer(db, m == 11   ? h[t - 1]
                       : m == 15 ? f[t] * h[t]
                                 : f[t] * h[t - 1])),
        add(dWf, outer(da, x[t]));
    Tensor nh = dh * (m == 12 ? f[t] : 1.0 - f[t]);
    if (m != 13) nh = nh + g * f[t];
    if (m != 14) nh = nh + matmul(Uf.T(), da);
    dh = o(nm("dh", t - 1).c_str(), h[t - 1], nh);
  }
  o("dUn", Un, dUn), o("dWf", Wf, dWf);
  return o;
}

const Registered r1({"lotka-volterra",
                     lotka,
                     usual({}),
                     {{1, "½ forgotten", HALF, "dx3"},
                      {2, "sign", SIGNS, "dy3"},
                      {3, "Δt missing", FACTOR + times("6.66667", "0.15"), "dα"},
                      {4, "sign", SIGNS, "dβ"},
                      {5, "y missing", MISSF, "dβ"},
                      {6, "x for y", WHICH, "dγ"},
                      {7, "dx for dy", WHICH, "dδ"},
                      {8, "direct path missing", PATH, "dx2"},
                      {9, "term of β missing", TERM, "dx2"},
                      {10, "y for x", WHICH, "dy2"},
                      {11, "path through y missing", PATH, "dx2"},
                      {12, "path through x missing", PATH, "dy2"},
                      {13, "sign of a term", SIGNS, "dy2"},
                      {14, "sign of the term of β", SIGNS, "dx2"},
                      {11, "path through y missing", PATH, "dx2", {"dx2"}, true}}});
const Registered r2({"midpoint growth",
                     growth,
                     usual({}),
                     {{1, "sign", SIGNS, "du3"},
                      {2, "Δt missing", FACTOR + times("3.33333", "0.3"), "dp3"},
                      {3, "2 missing in a term", HALF + TERM, "dp3"},
                      {4, "u for p", WHICH + TIME, "dp3"},
                      {5, "path through 1 − p/K missing", PATH, "dp3"},
                      {6, "r missing", MISSF, "dp3"},
                      {7, "sign of a term", SIGNS, "dp3"},
                      {8, "inner path missing", PATH, "dr"},
                      {9, "½ missing in a term", HALF, "dr"},
                      {10, "path missing", PATH, "du2"},
                      {11, "direct path missing", PATH, "du2"},
                      {12, "½ missing in a term", HALF, "du2"},
                      {13, "path missing", PATH, "du2"},
                      {11, "direct path missing", PATH, "du2", {"du2"}, true}}});
const Registered r3({"minimal gated unit",
                     mgu,
                     usual(S4, {"saturated"}),
                     {{1, "1 − f for f", STANDS + W{"1 minus", "1 − f3&place"}, "ds3"},
                      {2, "f missing", MISSF, "ds3"},
                      {3, "tanh' missing", SLOPE + MISSF, "db3"},
                      {4, "σ' for tanh'", FUNC + SLOPE, "db3"},
                      {5, "transposition", TRANS, "df3"},
                      {6, "path through the candidate missing", PATH, "df3"},
                      {7, "sign of h", SIGNS, "df3"},
                      {8, "h missing", MISSF, "df3"},
                      {9, "h's term missing", TERM, "df3"},
                      {10, "1 − f missing", MISSF + FUNC, "da3"},
                      {11, "f missing", MISSF + WHICH, "dUn"},
                      {15, "hₜ for hₜ₋₁", TIME + WHICH, "dUn"},
                      {12, "f for 1 − f", STANDS + W{"1 minus"}, "dh2"},
                      {13, "path through the candidate missing", PATH, "dh2"},
                      {14, "path through the gate missing", PATH, "dh2"},
                      {14, "path through the gate missing", PATH, "dh0", {"dh0"}},
                      {6, "path through the candidate missing", PATH, "df3", {}, true},
                      {3, "tanh' missing", SLOPE + MISSF, "dUn", {"dUn"}}}});

}  // namespace
