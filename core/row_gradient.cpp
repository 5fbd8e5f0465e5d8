#include <chainrule/core/row_gradient.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

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

struct Place {
  std::int64_t row;
  const Value* rows;
  std::int64_t at;
};

// So many rows are added one after the other.
constexpr std::size_t few = 128;

// to = the sum of the rows at these places; of many the sum of that of both halves, as the error of
// a sum grows with its length. In `scratch` there is room for a row at each halving.
template <class T>
void sum_rows(T* to, std::span<const Place> places, std::int64_t size, T* scratch) noexcept {
  const auto row = [&](const Place& place) { return place.rows->data<T>() + place.at * size; };
  if (places.size() > few) {
    const std::size_t half = places.size() / 2;
    sum_rows(to, places.first(half), size, scratch);
    sum_rows(scratch, places.subspan(half), size, scratch + size);
    return add_row(to, scratch, size);
  }
  std::copy_n(row(places.front()), size, to);
  for (const Place& place : places.subspan(1)) add_row(to, row(place), size);
}

}  // namespace

RowGradient RowGradientParts::combined(const Value& parameter) const {
  std::vector<Place, memory::Pool<Place>> places;
  for (const Part& part : parts_) {
    const std::int64_t* index = part.index->data<std::int64_t>();
    for (std::int64_t i = 0; i < part.index->numel(); ++i)
      places.push_back({index[i], part.rows.get(), i});
  }
  // In the order in which they came where a row comes several times.
  std::ranges::stable_sort(places, {}, &Place::row);
  const auto run_at = [&](std::size_t begin) {
    std::size_t end = begin;
    while (end < places.size() && places[end].row == places[begin].row) ++end;
    return std::span<const Place>(places).subspan(begin, end - begin);
  };
  std::int64_t count = 0;
  std::size_t longest = 0;
  for (std::size_t i = 0, length; i < places.size(); i += length, ++count) {
    length = run_at(i).size();
    longest = std::max(longest, length);
  }
  Shape shape = parameter.shape();
  shape[0] = count;
  RowGradient result{Value::make(DType::i64, &count, 1), Value::make(parameter.dtype(), shape)};
  const std::int64_t size = row_size(parameter);
  visit_floating(parameter.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<T, memory::Pool<T>> scratch(
        longest > few ? static_cast<std::size_t>(size) * std::bit_width(longest) : 0);
    std::int64_t* row = result.index->data<std::int64_t>();
    T* to = result.rows->data<T>();
    for (std::size_t i = 0; i < places.size(); to += size) {
      const std::span<const Place> run = run_at(i);
      *row++ = run.front().row;
      i += run.size();
      if (run.size() == 1)
        std::copy_n(run.front().rows->data<T>() + run.front().at * size, size, to);
      else
        sum_rows(to, run, size, scratch.data());
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
