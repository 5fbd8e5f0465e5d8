#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <chainrule/core/shape.hpp>

/// Arrays of long double, and the loops over them that the references of the ops are written with.
/// Nothing of the library's kernels is in here.
namespace reference {

using chainrule::Shape;
using Real = long double;

/// Numbers in row-major order.
struct Array {
  Shape shape;
  std::vector<Real> v;

  Array() : v(1) {}
  explicit Array(const Shape& its_shape)
      : shape(its_shape), v(static_cast<std::size_t>(its_shape.numel())) {}

  int rank() const { return shape.rank(); }
  std::size_t place(const Shape& index) const {
    std::int64_t place = 0;
    for (int i = 0; i < shape.rank(); ++i) {
      if (index[i] < 0 || index[i] >= shape[i]) throw std::out_of_range("reference: index");
      place = place * shape[i] + index[i];
    }
    return static_cast<std::size_t>(place);
  }
  Real& at(const Shape& index) { return v[place(index)]; }
  Real at(const Shape& index) const { return v[place(index)]; }
  /// The element that broadcasts to `index` of a larger shape.
  Real spread(const Shape& index) const {
    Shape mine = shape;
    for (int i = 0; i < rank(); ++i) mine[i] = shape[i] == 1 ? 0 : index[index.rank() - rank() + i];
    return at(mine);
  }
};

/// Calls f(index) for every index of a shape, in row-major order.
template <class F>
void each(const Shape& shape, F f) {
  if (shape.numel() == 0) return;
  Shape index = shape;
  for (std::int64_t& i : index) i = 0;
  for (;;) {
    f(static_cast<const Shape&>(index));
    int axis = shape.rank() - 1;
    while (axis >= 0 && ++index[axis] == shape[axis]) index[axis--] = 0;
    if (axis < 0) return;
  }
}

/// An array of f(index).
template <class F>
Array generate(const Shape& shape, F f) {
  Array out(shape);
  std::size_t n = 0;
  each(shape, [&](const Shape& index) { out.v[n++] = f(index); });
  return out;
}

/// The shape that all of these broadcast to.
inline Shape broadcast(std::span<const Array> arrays) {
  Shape out;
  for (const Array& a : arrays) {
    while (out.rank() < a.rank()) out.insert(0, 1);
    for (int i = 1; i <= a.rank(); ++i) {
      std::int64_t& extent = out[out.rank() - i];
      if (extent == 1) extent = a.shape[a.rank() - i];
    }
  }
  return out;
}

/// f of the elements of one, two or three arrays that broadcast.
template <class F>
Array map(const Array& a, F f) {
  Array out = a;
  for (Real& x : out.v) x = f(x);
  return out;
}
template <class F>
Array map(const Array& a, const Array& b, F f) {
  const Array both[] = {a, b};
  return generate(broadcast(both), [&](const Shape& i) { return f(a.spread(i), b.spread(i)); });
}
template <class F>
Array map(const Array& a, const Array& b, const Array& c, F f) {
  const Array all[] = {a, b, c};
  return generate(broadcast(all),
                  [&](const Shape& i) { return f(a.spread(i), b.spread(i), c.spread(i)); });
}

/// Joins f(the elements of a group), where the groups are the elements that differ along `axes`
/// only (negative ones count from the end; none: all).
template <class F>
Array reduce(const Array& a, Shape axes, bool keepdim, F f) {
  std::vector<bool> gone(a.shape.size(), axes.empty());
  for (const std::int64_t axis : axes)
    gone[static_cast<std::size_t>(axis < 0 ? axis + a.rank() : axis)] = true;
  Shape kept = a.shape, out;
  for (int i = 0; i < a.rank(); ++i) {
    if (gone[static_cast<std::size_t>(i)]) kept[i] = 1;
    if (keepdim || !gone[static_cast<std::size_t>(i)]) out.push_back(kept[i]);
  }
  std::vector<std::vector<Real>> groups(static_cast<std::size_t>(kept.numel()));
  const Array places(kept);
  each(a.shape, [&](const Shape& index) {
    Shape group = index;
    for (int i = 0; i < a.rank(); ++i)
      if (gone[static_cast<std::size_t>(i)]) group[i] = 0;
    groups[places.place(group)].push_back(a.at(index));
  });
  Array result(out);
  for (std::size_t i = 0; i < groups.size(); ++i) result.v[i] = f(groups[i]);
  return result;
}

/// What a reference throws for a sample that it does not know.
struct UnknownSample : std::runtime_error {
  explicit UnknownSample(std::string_view label)
      : std::runtime_error("there is no reference for the sample '" + std::string(label) + "'") {}
};

}  // namespace reference
