#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <chainrule/graph/checking/difference.hpp>
#include <chainrule/graph/functional.hpp>

namespace chainrule::derivation {

/// A function of tensors that gradcheck() looks at from outside: at its inputs, and where those
/// that are f64 are moved. Directions have a tensor for each input; an undefined one stays.
class MovedFunction {
 public:
  MovedFunction(const Function& f, std::span<const Tensor> inputs, const Where& where);

  const Function& function() const noexcept { return f_; }
  const std::vector<Tensor>& inputs() const noexcept { return inputs_; }
  /// The inputs that are f64.
  const std::vector<std::size_t>& floating() const noexcept { return floating_; }
  /// What it gives at the inputs: f64, the same each time. Throws where it is not.
  const Tensor& value() const noexcept { return value_; }

  std::vector<Tensor> moved(std::span<const Tensor> from, std::span<const Tensor> directions,
                            double by) const;
  /// A direction at random, in which no element moves by more than its size.
  std::vector<Tensor> random_steps(std::uint64_t seed) const;

  /// What is looked at of a result.
  using Reading = std::function<std::vector<double>(const Tensor&)>;
  /// ⟨v, result⟩, or without v all its numbers.
  Reading reading(const Tensor& v) const;
  /// What that is at a place, and how far rounding moves it.
  struct Place {
    std::vector<Tensor> inputs;
    Reading read;
    std::vector<double> here, noise;
  };
  /// Computed once, and what it recorded again with each result moved by a unit in the last place.
  Place place(std::span<const Tensor> inputs, const Reading& read) const;
  /// Differences of that from a place in a direction, beginning with the step `first`. Where they
  /// leave the function's domain smaller steps may do; where none does, there is no finite one on a
  /// side, or, if it throws on both sides, that is thrown on, and says to where it was moved.
  std::vector<Difference> along(const Place& from, std::span<const Tensor> directions, double first,
                                const std::string& moves) const;

 private:
  std::vector<Tensor> recorded(std::span<const Tensor> inputs) const;
  Tensor at(std::span<const Tensor> inputs) const;
  Tensor checked(const Tensor& result, const Shape* shape) const;

  const Function& f_;
  std::vector<Tensor> inputs_;
  Where where_;
  std::vector<std::size_t> floating_;
  bool takes_gradients_ = false;  // of its inputs, so that they have to be recorded
  Tensor value_;
};

}  // namespace chainrule::derivation
