#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <chainrule/chainrule.hpp>

/// Derivations of models that were chosen, and derived by hand, by somebody who did not know how
/// they are checked: right ones in many settings, and ones with a mistake each. (Those in
/// distances, dynamics, normalised and objectives by somebody who did.)
namespace cases {

using namespace chainrule;

/// Where a model gets its numbers from: dtype, seed, size, scale of the data, and a variant such as
/// "saturated", "kink" or "zero".
struct Ctx {
  DType dt = f64;
  std::uint64_t seed = 1;
  int size = 1;
  double scale = 1;
  std::string variant{};
  mutable Generator g{1};

  bool is(const char* v) const { return variant == v; }
  Tensor cast(const Tensor& t) const { return to(t, dt); }
  Tensor normal(const Shape& s, double k = 1) const {
    const NoGrad off;
    return cast(randn(s, g, f64) * k);
  }
  Tensor unif(const Shape& s, double a, double b) const {
    const NoGrad off;
    return cast(uniform(a, b, s, g, f64));
  }
  /// Parameters and data of normal numbers times k, and of given ones.
  Tensor P(const char* n, const Shape& s, double k = 1) const {
    return normal(s, k).named(n).requires_grad_();
  }
  Tensor D(const char* n, const Shape& s, double k = 1) const { return normal(s, k).named(n); }
  Tensor par(const char* n, const Tensor& t) const {
    return cast(t.detach()).named(n).requires_grad_();
  }
  Tensor dat(const char* n, const Tensor& t) const { return cast(t.detach()).named(n); }
  Tensor onehot(const char* n, std::int64_t N, std::int64_t K, bool columns) const {
    const NoGrad off;
    const Tensor y = one_hot(randint(0, K, {N}, g), K, dt);
    return (columns ? contiguous(y.T()) : y).named(n);
  }
  Tensor bern(const char* n, const Shape& s) const {
    const NoGrad off;
    return cast(to(rand(s, g, f64) > 0.5, f64)).named(n);
  }
  Tensor signs(const char* n, const Shape& s) const {
    const NoGrad off;
    return cast(to(rand(s, g, f64) > 0.5, f64) * 2.0 - 1.0).named(n);
  }
  Tensor num(const Tensor& b) const { return to(b, dt); }  ///< a mask as numbers
};

/// A loss, and formulas for gradients of it.
struct Out {
  Tensor loss{};
  std::vector<Formula> f{};
  Tensor operator()(const std::string& n, const Tensor& of, const Tensor& v) {
    f.push_back({n, of, v});
    return v;
  }
};

struct Mistake {
  int m;  ///< by which the model makes it
  std::string kind;
  std::vector<std::string> words;   ///< one of them names it; of "a&b" both parts
  std::string row;                  ///< where it was made: "dW1", or "dW1|dW2"
  std::vector<std::string> only{};  ///< unless empty, these are handed in alone
  bool bare = false;                ///< as numbers without a graph
  std::string variant{};
};

struct Setting {
  DType dt;
  std::uint64_t seed;
  int size;
  double scale;
  std::string variant;
};

struct Model {
  std::string name;
  std::function<Out(const Ctx&, int mistake)> f;  ///< mistake 0: right
  std::vector<Setting> settings;
  std::vector<Mistake> mistakes;
  std::vector<std::string> kinks{};  ///< variants with another subgradient than autograd's
};

std::vector<Model>& models();

/// A model in the list; with two more seeds, and for a kind "A for B" the ways of saying so.
struct Registered {
  explicit Registered(Model model);
};

/// Both dtypes, several seeds, bare numbers, the scales, the variants.
std::vector<Setting> usual(const std::vector<double>& scales,
                           const std::vector<std::string>& variants = {});

}  // namespace cases
