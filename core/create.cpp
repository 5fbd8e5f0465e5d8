#include <chainrule/core/create.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <chainrule/core/out_of_memory.hpp>

namespace chainrule {

namespace {

constexpr std::int64_t most_elements = std::int64_t{1} << 59;  // as Value::make

// The number of elements; -1 for more than can be counted.
std::int64_t count_elements(const char* op, const Shape& shape, const Where& where) {
  std::int64_t n = 1;
  bool overflow = false, none = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0)
      throw ShapeError(fmt::format("{}: negative extent in {}", op, to_string(shape)), where,
                       "write the number out: -1 for what is left is known by reshape() alone");
    none |= extent == 0;
    if (extent != 0) overflow |= __builtin_mul_overflow(n, extent, &n);
  }
  if (overflow || n > most_elements)
    throw ShapeError(
        fmt::format("{}: {} has more elements than can be counted", op, to_string(shape)), where,
        "a tensor has at most 2^59: is an extent a product, or no extent at all?");
  return none ? 0 : n;
}

[[noreturn]] void throw_not_i64(const char* op, const std::string& number, bool rounds,
                                const Where& where) {
  throw ValueError(fmt::format("{}: {} is not an i64", op, number), where,
                   rounds ? "round it first, or name a floating dtype"
                          : "integers go from -2^63 to 2^63 - 1: name a floating dtype");
}

// A real as an element; whole numbers only become i64.
template <class E, class T>
E convert(T number, const char* op, const Where& where) {
  if constexpr (std::is_same_v<E, bool>) {
    return number != T{};
  } else if constexpr (std::is_same_v<E, std::int64_t> && std::is_floating_point_v<T>) {
    // NaN fails the comparisons; 2^63 itself is one too many.
    const bool within = number >= T(-0x1p63) && number < T(0x1p63);
    if (!within || number != std::trunc(number))
      throw_not_i64(op, fmt::format("{}", number), within, where);
    return static_cast<E>(number);
  } else if constexpr (std::is_same_v<E, std::int64_t> && std::is_unsigned_v<T> &&
                       sizeof(T) == sizeof(E)) {
    if (number > static_cast<T>(std::numeric_limits<E>::max()))
      throw_not_i64(op, fmt::format("{}", number), false, where);
    return static_cast<E>(number);
  } else {
    return static_cast<E>(number);
  }
}

template <class E>
E convert(const detail::AnyNumber& number, const char* op, const Where& where) {
  if (!number.integral) return convert<E>(number.real, op, where);
  // Of integers beyond i64 only the real number is right.
  if (number.too_large) {
    if constexpr (std::is_same_v<E, std::int64_t>)
      throw_not_i64(op, fmt::format("{}", static_cast<std::uint64_t>(number.integer)), false,
                    where);
    return convert<E>(static_cast<std::uint64_t>(number.integer), op, where);
  }
  return convert<E>(number.integer, op, where);
}

void check_floating(const char* op, DType dtype, const Where& where) {
  if (!is_floating(dtype))
    throw DTypeError(fmt::format("{}: makes f32 or f64, not {}", op, name_of(dtype)), where,
                     "arange(start, stop, step) makes integers");
}

void check_finite(const char* op, const char* what, double number, const Where& where) {
  if (!std::isfinite(number))
    throw ValueError(fmt::format("{}: {} is {}", op, what, number), where,
                     "begin, end and step are finite numbers");
}

constexpr const char* step_hint = "full({n}, start) repeats one number";
constexpr const char* count_hint = "linspace(start, stop, count) says how many";

Tensor arange_integers(std::int64_t start, std::int64_t stop, std::int64_t step, DType dtype,
                       const Where& where) {
  if (step == 0) throw ValueError("arange: the step is 0", where, step_hint);
  // In unsigned arithmetic neither the distance nor the size of the step can overflow.
  const bool up = step > 0;
  const auto from = static_cast<std::uint64_t>(start), to = static_cast<std::uint64_t>(stop);
  const std::uint64_t distance =
      up ? (stop > start ? to - from : 0) : (start > stop ? from - to : 0);
  const std::uint64_t size =
      up ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const std::uint64_t count = distance / size + (distance % size != 0);
  if (count > static_cast<std::uint64_t>(most_elements))
    throw ValueError(
        fmt::format("arange: from {} to {} by {} are more elements than can be counted", start,
                    stop, step),
        where, count_hint);
  const auto n = static_cast<std::int64_t>(count);
  Ref<Value> value = detail::make_value("arange", {n}, dtype, where);
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = value->data<T>();
    std::uint64_t at = from;
    for (std::int64_t i = 0; i < n; ++i, at += static_cast<std::uint64_t>(step))
      out[i] = static_cast<T>(static_cast<std::int64_t>(at));
  });
  return Tensor(std::move(value));
}

}  // namespace

namespace detail {

Ref<Value> make_value(const char* op, const Shape& shape, DType dtype, const Where& where) {
  count_elements(op, shape, where);
  try {
    return Value::make(dtype, shape);
  } catch (const MemoryError&) {
    throw_no_memory_for(op, shape, dtype, where);
  }
}

Tensor full(const char* op, const Shape& shape, AnyNumber number, DType dtype, const Where& where) {
  return visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T element = convert<T>(number, op, where);
    Ref<Value> value = make_value(op, shape, dtype, where);
    std::fill_n(value->data<T>(), value->numel(), element);
    return Tensor(std::move(value));
  });
}

Tensor arange(AnyNumber start, AnyNumber stop, AnyNumber step, DType dtype, const Where& where) {
  if (dtype == boolean)
    throw DTypeError("arange: makes numbers, not boolean", where, "compare them: arange(n) < k");
  const bool integers = start.integral && stop.integral && step.integral;
  if (!integers) {
    check_finite("arange", "start", start.real, where);
    check_finite("arange", "stop", stop.real, where);
    check_finite("arange", "the step", step.real, where);
  }
  if (integers || dtype == i64)
    return arange_integers(convert<std::int64_t>(start, "arange", where),
                           convert<std::int64_t>(stop, "arange", where),
                           convert<std::int64_t>(step, "arange", where), dtype, where);
  if (step.real == 0) throw ValueError("arange: the step is 0", where, step_hint);
  // Divided one by one where the distance itself would be infinite.
  double steps = (stop.real - start.real) / step.real;
  const bool far = !std::isfinite(stop.real - start.real);
  if (far) steps = stop.real / step.real - start.real / step.real;
  const double count = std::max(std::ceil(steps), 0.0);
  if (!(count <= static_cast<double>(most_elements)))
    throw ValueError(
        fmt::format("arange: from {} to {} by {} are more elements than can be counted", start.real,
                    stop.real, step.real),
        where, count_hint);
  Ref<Value> value = make_value("arange", {static_cast<std::int64_t>(count)}, dtype, where);
  visit_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = value->data<T>();
    // Half of what may be beyond all numbers before it is added.
    const double part = far ? 0.5 : 1, whole = far ? 2 : 1;
    for (std::int64_t i = 0; i < value->numel(); ++i)
      out[i] =
          static_cast<T>(whole * (part * start.real + static_cast<double>(i) * (part * step.real)));
  });
  return Tensor(std::move(value));
}

template <class T>
void put(Value& value, std::int64_t offset, const T* numbers, std::int64_t n, const char* op,
         const Where& where) {
  if (n == 0) return;
  visit(value.dtype(), [&](auto zero) {
    using E = decltype(zero);
    E* out = value.data<E>() + offset;
    if constexpr (std::is_same_v<E, T>) {
      std::memcpy(out, numbers, static_cast<std::size_t>(n) * sizeof(T));
    } else {
      for (std::int64_t i = 0; i < n; ++i) out[i] = convert<E>(numbers[i], op, where);
    }
  });
}

void put_bits(Value& value, const std::vector<bool>& bits) {
  std::copy(bits.begin(), bits.end(), value.data<bool>());
}

void check_span(const char* op, std::size_t size, const Shape& shape, const Where& where) {
  const std::int64_t numel = count_elements(op, shape, where);
  if (static_cast<std::size_t>(numel) != size)
    throw ShapeError(fmt::format("{}: {} has {} elements, but {} numbers are given", op,
                                 to_string(shape), numel, size),
                     where, "the product of the extents is how many numbers there are");
}

void throw_ragged(const Shape& row, std::size_t size, std::int64_t expected, const Where& where) {
  const Shape first(std::span(Shape{0, 0, 0, 0}.data(), row.size()));
  const auto label = [](const Shape& at) {
    return at.rank() == 1 ? fmt::format("{}", at[0]) : to_string(at);
  };
  throw ShapeError(fmt::format("tensor: row {} has {} elements, but row {} has {}", label(row),
                               size, label(first), expected),
                   where, "the rows of a tensor are equally long");
}

#define CHAINRULE_NUMBER(T) \
  template void put<T>(Value&, std::int64_t, const T*, std::int64_t, const char*, const Where&);
CHAINRULE_NUMBER(bool)
CHAINRULE_NUMBER(char)
CHAINRULE_NUMBER(signed char)
CHAINRULE_NUMBER(unsigned char)
CHAINRULE_NUMBER(short)
CHAINRULE_NUMBER(unsigned short)
CHAINRULE_NUMBER(int)
CHAINRULE_NUMBER(unsigned int)
CHAINRULE_NUMBER(long)
CHAINRULE_NUMBER(unsigned long)
CHAINRULE_NUMBER(long long)
CHAINRULE_NUMBER(unsigned long long)
CHAINRULE_NUMBER(float)
CHAINRULE_NUMBER(double)
#undef CHAINRULE_NUMBER

}  // namespace detail

Tensor zeros(const Shape& shape, DType dtype, Where where) {
  Ref<Value> value = detail::make_value("zeros", shape, dtype, where);
  if (value->numel() != 0) std::memset(value->bytes(), 0, value->byte_count());
  return Tensor(std::move(value));
}

Tensor ones(const Shape& shape, DType dtype, Where where) {
  return detail::full("ones", shape, 1, dtype, where);
}

Tensor eye(std::int64_t rows, std::int64_t columns, DType dtype, Where where) {
  Ref<Value> value = detail::make_value("eye", {rows, columns}, dtype, where);
  if (value->numel() == 0) return Tensor(std::move(value));
  std::memset(value->bytes(), 0, value->byte_count());
  visit(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = value->data<T>();
    for (std::int64_t i = 0; i < std::min(rows, columns); ++i) out[i * columns + i] = T{1};
  });
  return Tensor(std::move(value));
}

Tensor eye(std::int64_t n, DType dtype, Where where) { return eye(n, n, dtype, where); }

Tensor linspace(double start, double stop, std::int64_t count, DType dtype, Where where) {
  check_floating("linspace", dtype, where);
  check_finite("linspace", "start", start, where);
  check_finite("linspace", "stop", stop, where);
  if (count < 1)
    throw ValueError(fmt::format("linspace: the count is {}, but must be at least 1", count), where,
                     "it counts both ends; of no numbers, zeros({0}) is the tensor");
  Ref<Value> value = detail::make_value("linspace", {count}, dtype, where);
  const auto last = static_cast<double>(count - 1);
  double step = count > 2 ? (stop - start) / last : 0;  // two numbers are the ends
  if (!std::isfinite(step)) step = stop / last - start / last;
  visit_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = value->data<T>();
    // From both ends, so that the last number is stop exactly.
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<T>(2 * i < count ? start + static_cast<double>(i) * step
                                            : stop - static_cast<double>(count - 1 - i) * step);
  });
  return Tensor(std::move(value));
}

Tensor zeros_like(const Tensor& like, Where where) {
  const Value& value = like.value(where, "zeros_like");
  return zeros(value.shape(), value.dtype(), where);
}

Tensor ones_like(const Tensor& like, Where where) {
  const Value& value = like.value(where, "ones_like");
  return detail::full("ones_like", value.shape(), 1, value.dtype(), where);
}

}  // namespace chainrule
