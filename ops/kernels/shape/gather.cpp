#include <chainrule/ops/kernels/shape/gather.hpp>

#include <algorithm>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/ops/kernels/elementwise/loops.hpp>

namespace chainrule::kernels {

Walk walk_gather(const Ref<Value>& whole, int axis, const Ref<Value>& index) {
  Shape strides = whole->strides_shape();
  const std::int64_t stride = strides[axis];
  strides[axis] = 0;
  return {Value::view(whole, index->shape(), strides, 0), index, stride};
}

Shape take_shape(const Shape& whole, int axis, const Shape& index) {
  std::int64_t dims[2 * max_rank];
  std::int64_t* to = std::copy_n(whole.begin(), axis, dims);
  to = std::copy(index.begin(), index.end(), to);
  to = std::copy(whole.begin() + axis + 1, whole.end(), to);
  return Shape(std::span<const std::int64_t>(dims, to));
}

Walk walk_take(const Ref<Value>& whole, int axis, const Ref<Value>& index, const Value& part) {
  const Shape shape = part.shape();
  Shape places = shape, positions = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    const int at = i - axis;  // among the axes of the index
    const bool before = at < 0, inside = !before && at < index->rank();
    positions[i] = inside ? index->strides()[at] : 0;
    places[i] = inside ? 0 : whole->strides()[before ? i : i - index->rank() + 1];
  }
  return {Value::view(whole, shape, places, 0), Value::view(index, shape, positions, 0),
          whole->strides()[axis]};
}

void collect(Value& part, const Walk& walk) {
  visit(part.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* out = part.data<T>();
    const T* whole = walk.places->data<T>();
    const std::int64_t* position = walk.positions->data<std::int64_t>();
    const Space<2> space(part, {walk.places.get(), walk.positions.get()});
    const std::int64_t p = space.inner_stride(0), q = space.inner_stride(1);
    space.for_each_row([&](std::int64_t count, std::int64_t at, const auto& offset) {
      T* __restrict y = out + at;
      const T* x = whole + offset[0];
      const std::int64_t* k = position + offset[1];
      if (q == 0) {
        x += *k * walk.stride;
        if (p == 1)
          for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
        else
          for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * p];
      } else {
        for (std::int64_t i = 0; i < count; ++i) y[i] = x[i * p + k[i * q] * walk.stride];
      }
    });
  });
}

namespace {

template <class T>
T sum_of(T a, T b) {
  if constexpr (std::is_integral_v<T>)  // wraps around instead of overflowing
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else
    return a + b;
}

// Sums of the whole's size that are added in pairs, as the error of a sum grows with its length.
template <class T>
class InPairs {
 public:
  explicit InPairs(std::int64_t size) : size_(static_cast<std::size_t>(size)) {}
  // Zeros for the next sum, in which end() takes it.
  T* begin() {
    sum_.assign(size_, T{0});
    return sum_.data();
  }
  void end() {
    std::size_t level = 0;
    for (; level < levels_.size() && !levels_[level].empty(); ++level) {
      add(sum_.data(), levels_[level]);
      levels_[level].clear();
    }
    if (level == levels_.size()) levels_.emplace_back();
    std::swap(levels_[level], sum_);
  }
  void add_all_to(T* whole) {
    Numbers* all = nullptr;
    for (Numbers& level : levels_) {
      if (level.empty()) continue;
      if (all) add(level.data(), *all);
      all = &level;
    }
    if (all) add(whole, *all);
  }

 private:
  using Numbers = std::vector<T, memory::Pool<T>>;
  static void add(T* to, const Numbers& from) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  }
  std::size_t size_;
  Numbers sum_;
  std::vector<Numbers, memory::Pool<Numbers>> levels_;  // of 2^i sums each, or empty
};

// So many elements of a part are added to one sum where the whole has this size: enough that zeros
// and pairs cost little beside them.
std::int64_t longest_sum(std::int64_t whole) noexcept {
  return std::max<std::int64_t>(32 * whole, 1 << 12);
}

// Adds the part, where the whole at position 0 of the axis begins at `places`.
template <class T>
void add_part(const Value& part, const Walk& walk, T* places) {
  const T* source = part.data<T>();
  const std::int64_t* position = walk.positions->data<std::int64_t>();
  const Space<3> space(part, {&part, walk.places.get(), walk.positions.get()});
  const std::int64_t r = space.inner_stride(0), p = space.inner_stride(1),
                     q = space.inner_stride(2);
  space.for_each_row([&](std::int64_t count, std::int64_t, const auto& offset) {
    const T* x = source + offset[0];
    T* y = places + offset[1];
    const std::int64_t* k = position + offset[2];
    if (q == 0 && p == 1 && r == 1) {  // one position, of which the row is a contiguous piece
      T* __restrict to = y + *k * walk.stride;
      for (std::int64_t i = 0; i < count; ++i) to[i] = sum_of(to[i], x[i]);
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      T& to = y[i * p + k[i * q] * walk.stride];
      to = sum_of(to, x[i * r]);
    }
  });
}

Ref<Value> narrowed(const Ref<Value>& of, int axis, std::int64_t begin, std::int64_t count) {
  Shape shape = of->shape();
  const Shape strides = of->strides_shape();
  shape[axis] = count;
  return Value::view(of, shape, strides, begin * strides[axis]);
}

// The same for many numbers at few places, piece by piece along the longest axis.
template <class T>
void add_in_pieces(const Value& part, const Walk& walk, Value& whole) {
  const Ref<Value> all = Ref<Value>::share(const_cast<Value*>(&part));
  const std::int64_t* const longest = std::max_element(part.dims(), part.dims() + part.rank());
  const int axis = static_cast<int>(longest - part.dims());
  const std::int64_t each = longest_sum(whole.numel()) * *longest / part.numel();
  const std::int64_t step = std::max(each, std::int64_t{1});
  const std::int64_t first = walk.places->data<T>() - whole.data<T>();
  InPairs<T> sums(whole.numel());
  for (std::int64_t begin = 0; begin < *longest; begin += step) {
    const std::int64_t count = std::min(step, *longest - begin);
    const Walk piece{narrowed(walk.places, axis, begin, count),
                     narrowed(walk.positions, axis, begin, count), walk.stride};
    T* const sum = sums.begin() + first;
    add_part(*narrowed(all, axis, begin, count), piece, sum + begin * walk.places->strides()[axis]);
    sums.end();
  }
  sums.add_all_to(whole.data<T>());
}

}  // namespace

void distribute(const Value& part, const Walk& walk) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) {
      Value& whole = const_cast<Value&>(*walk.places->owner());
      if (part.numel() >= 2 * longest_sum(whole.numel()))
        return add_in_pieces<T>(part, walk, whole);
    }
    add_part(part, walk, walk.places->data<T>());
  };
  part.dtype() == i64 ? run(std::int64_t{}) : visit_floating(part.dtype(), run);
}

}  // namespace chainrule::kernels
