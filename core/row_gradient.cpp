#include <chainrule/core/row_gradient.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include <chainrule/core/dtype.hpp>

namespace chainrule {

namespace {

std::int64_t row_size(const Value& parameter) noexcept {
  std::int64_t size = 1;
  for (int axis = 1; axis < parameter.rank(); ++axis) size *= parameter.dims()[axis];
  return size;
}

template <class T>
void add_row(T* to, const T* from, std::int64_t size) noexcept {
  for (std::int64_t i = 0; i < size; ++i) to[i] += from[i];
}

}  // namespace

RowGradient RowGradientParts::combined(const Value& parameter) const {
  struct Place {
    std::int64_t row;
    const Value* rows;
    std::int64_t at;
  };
  std::vector<Place, memory::Pool<Place>> places;
  for (const Part& part : parts_) {
    const std::int64_t* index = part.index->data<std::int64_t>();
    for (std::int64_t i = 0; i < part.index->numel(); ++i)
      places.push_back({index[i], part.rows.get(), i});
  }
  // In the order in which they came where a row comes several times.
  std::ranges::stable_sort(places, {}, &Place::row);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < places.size(); ++i)
    count += i == 0 || places[i].row != places[i - 1].row;
  Shape shape = parameter.shape();
  shape[0] = count;
  RowGradient result{Value::make(DType::i64, &count, 1), Value::make(parameter.dtype(), shape)};
  const std::int64_t size = row_size(parameter);
  visit_floating(parameter.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::int64_t* row = result.index->data<std::int64_t>() - 1;
    T* to = result.rows->data<T>() - size;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const T* from = places[i].rows->data<T>() + places[i].at * size;
      if (i != 0 && places[i].row == *row) {
        add_row(to, from, size);
        continue;
      }
      *++row = places[i].row;
      to += size;
      std::copy_n(from, size, to);
    }
  });
  return result;
}

void RowGradientParts::add_to(Value& dense) const noexcept {
  const std::int64_t size = row_size(dense);
  visit_floating(dense.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (const Part& part : parts_) {
      const std::int64_t* index = part.index->data<std::int64_t>();
      for (std::int64_t i = 0; i < part.index->numel(); ++i)
        add_row(dense.data<T>() + index[i] * size, part.rows->data<T>() + i * size, size);
    }
  });
}

}  // namespace chainrule
