// References of the ops that move elements: shapes, parts, joins, positions, conversions.
#include <chainrule/tests/ops/references/references.hpp>

#include <cmath>

namespace reference {

namespace {

using In = std::span<const Array>;
using Label = std::string_view;

// The N of "axis N" in a label.
int axis_in(Label label) {
  const std::size_t at = label.find("axis ");
  if (at == Label::npos || at + 5 >= label.size()) throw UnknownSample(label);
  return label[at + 5] - '0';
}

Array same(In in, Label) { return in[0]; }

// Axis i of the result is axis axes[i] of a.
Array permuted(const Array& a, const Shape& axes) {
  Shape shape = axes;
  for (int i = 0; i < axes.rank(); ++i) shape[i] = a.shape[static_cast<int>(axes[i])];
  return generate(shape, [&](const Shape& index) {
    Shape from = index;
    for (int i = 0; i < axes.rank(); ++i) from[static_cast<int>(axes[i])] = index[i];
    return a.at(from);
  });
}

Array transpose(In in, Label label) {
  if (label == "matrix" || label == "empty") return permuted(in[0], {1, 0});
  if (label == "cube, axes 0 and 2") return permuted(in[0], {2, 1, 0});
  throw UnknownSample(label);
}

Array permute(In in, Label label) {
  if (label == "cube, axes 1 2 0") return permuted(in[0], {1, 2, 0});
  if (label == "cube, negative axes") return permuted(in[0], {2, 0, 1});
  if (label == "scalar") return in[0];
  throw UnknownSample(label);
}

Array contiguous(In in, Label label) {
  if (label == "transposed cube") return permuted(in[0], {1, 0, 2});
  if (label == "row-major cube") return in[0];
  throw UnknownSample(label);
}

Array as(Array a, const Shape& shape) {
  a.shape = shape;
  return a;
}

Array reshape(In in, Label label) {
  if (label == "cube to (4, 3)") return as(in[0], {4, 3});
  if (label == "cube to (-1,)") return as(in[0], {12});
  if (label == "transposed cube to (6, 2)") return as(permuted(in[0], {2, 1, 0}), {6, 2});
  if (label == "empty") return as(in[0], {3, 0, 2});
  throw UnknownSample(label);
}

Array expand(In in, Label label) {
  const auto to = [&](const Shape& shape) {
    return generate(shape, [&](const Shape& index) { return in[0].spread(index); });
  };
  if (label == "row to (2, 3)") return to({2, 3});
  if (label == "column to (2, 2, 3)") return to({2, 2, 3});
  if (label == "scalar to (0, 2)") return to({0, 2});
  throw UnknownSample(label);
}

Array concat(In in, Label label) {
  const int axis = axis_in(label);
  Shape shape = in[0].shape;
  shape[axis] = 0;
  for (const Array& a : in) shape[axis] += a.shape[axis];
  return generate(shape, [&](const Shape& index) {
    Shape from = index;
    for (const Array& a : in) {
      if (from[axis] < a.shape[axis]) return a.at(from);
      from[axis] -= a.shape[axis];
    }
    return Real{};
  });
}

Array stack(In in, Label label) {
  const int axis = axis_in(label);
  Shape shape = in[0].shape;
  shape.insert(axis, static_cast<std::int64_t>(in.size()));
  return generate(shape, [&](const Shape& index) {
    Shape from = index;
    from.erase(axis);
    return in[static_cast<std::size_t>(index[axis])].at(from);
  });
}

Array slice(In in, Label label) {
  const Array& x = in[0];
  // The result's shape, and where its element comes from.
  const auto part = [&](const Shape& shape, auto from) {
    return generate(shape, [&](const Shape& i) { return x.at(from(i)); });
  };
  if (label == "row") return part({4}, [](const Shape& i) { return Shape{1, i[0]}; });
  if (label == "last column") return part({3}, [](const Shape& i) { return Shape{i[0], 3}; });
  if (label == "element") return part({}, [](const Shape&) { return Shape{2, 1}; });
  if (label == "rows from 1")
    return part({2, 4}, [](const Shape& i) { return Shape{i[0] + 1, i[1]}; });
  if (label == "columns 3 1")
    return part({3, 2}, [](const Shape& i) { return Shape{i[0], 3 - 2 * i[1]}; });
  if (label == "new axes") return part({1, 1, 4}, [](const Shape& i) { return Shape{0, i[2]}; });
  if (label == "ellipsis") return part({2, 2}, [](const Shape& i) { return Shape{i[0], i[1], 1}; });
  if (label == "slice axis 1")
    return part({2, 1, 2}, [](const Shape& i) { return Shape{i[0], 0, i[2]}; });
  if (label == "select axis 1")
    return part({2, 2}, [](const Shape& i) { return Shape{i[0], 1, i[1]}; });
  if (label == "no rows") return Array(Shape{0, 4});
  if (label == "empty") return Array(Shape{0});
  throw UnknownSample(label);
}

Array slice_scatter(In in, Label label) {
  Array out;
  const auto put = [&](auto to) {
    each(in[0].shape, [&](const Shape& i) { out.at(to(i)) = in[0].at(i); });
    return out;
  };
  if (label == "row 1 of 3") {
    out = Array(Shape{3, 2});
    return put([](const Shape& i) { return Shape{1, i[0]}; });
  }
  if (label == "columns 3 1 of 4") {
    out = Array(Shape{2, 4});
    return put([](const Shape& i) { return Shape{i[0], 3 - 2 * i[1]}; });
  }
  if (label == "empty") return Array(Shape{3, 2});
  throw UnknownSample(label);
}

// The place that an element of a gather comes from.
Shape gathered(const Array& index, const Shape& i, int axis) {
  Shape from = i;
  from[axis] = static_cast<std::int64_t>(index.at(i));
  return from;
}

Array gather(In in, Label label) {
  const int axis = axis_in(label);
  return generate(in[1].shape, [&](const Shape& i) { return in[0].at(gathered(in[1], i, axis)); });
}

Array scatter_add(In in, Label label) {
  const int axis = axis_in(label);
  Array out = in[0];
  each(in[1].shape, [&](const Shape& i) { out.at(gathered(in[1], i, axis)) += in[2].at(i); });
  return out;
}

// The place that an element of take(x, index, axis) comes from.
Shape taken(const Array& index, const Shape& i, int axis) {
  Shape from, at;
  for (int k = 0; k < axis; ++k) from.push_back(i[k]);
  for (int k = 0; k < index.rank(); ++k) at.push_back(i[axis + k]);
  from.push_back(static_cast<std::int64_t>(index.at(at)));
  for (int k = axis + index.rank(); k < i.rank(); ++k) from.push_back(i[k]);
  return from;
}

Array take(In in, Label label) {
  const int axis = axis_in(label);
  Shape shape;
  for (int k = 0; k < in[0].rank(); ++k) {
    if (k != axis) shape.push_back(in[0].shape[k]);
    if (k == axis)
      for (const std::int64_t extent : in[1].shape) shape.push_back(extent);
  }
  return generate(shape, [&](const Shape& i) { return in[0].at(taken(in[1], i, axis)); });
}

Array index_add(In in, Label label) {
  const int axis = axis_in(label);
  Array out = in[0];
  each(in[2].shape, [&](const Shape& i) { out.at(taken(in[1], i, axis)) += in[2].at(i); });
  return out;
}

Array one_hot(In in, Label label) {
  if (!label.ends_with("3 classes")) throw UnknownSample(label);
  Shape shape = in[0].shape;
  shape.push_back(3);
  return generate(shape, [&](const Shape& index) {
    Shape from = index;
    from.erase(index.rank() - 1);
    return Real(in[0].at(from) == static_cast<Real>(index.back()));
  });
}

Array to(In in, Label label) {
  if (label.ends_with("to boolean")) return map(in[0], [](Real x) { return Real(x != 0); });
  if (label.ends_with("to i64")) return map(in[0], [](Real x) { return std::trunc(x); });
  return in[0];
}

constexpr Entry entries[] = {
    {"alias", same},
    {"copy", same},
    {"concat", concat},
    {"contiguous", contiguous},
    {"expand", expand},
    {"gather", gather},
    {"index_add", index_add},
    {"one_hot", one_hot},
    {"permute", permute},
    {"reshape", reshape},
    {"scatter_add", scatter_add},
    {"slice", slice},
    {"slice_scatter", slice_scatter},
    {"stack", stack},
    {"take", take},
    {"to", to},
    {"transpose", transpose},
};

}  // namespace

std::span<const Entry> arrangement() { return entries; }

}  // namespace reference
