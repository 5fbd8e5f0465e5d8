#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>
#include <vector>

#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/tensor.hpp>

/// Tensors from nothing, from literals, and from memory that is there already. None of them is
/// recorded; `requires_grad_()` makes a parameter of a result. All throw ShapeError for a negative
/// extent or more elements than can be counted, and MemoryError when there is no memory.

namespace chainrule {

namespace detail {
template <class T, class... Types>
concept OneOf = (std::same_as<T, Types> || ...);
}

/// A C++ number, as literals and arguments have it: bool, an integer, float or double.
template <class T>
concept Number =
    detail::OneOf<T, bool, char, signed char, unsigned char, short, unsigned short, int, unsigned,
                  long, unsigned long, long long, unsigned long long, float, double>;

namespace detail {

/// The dtype of literals: f32 for float and double, i64 for integers, boolean for bool.
template <Number T>
inline constexpr DType literal_dtype = std::is_floating_point_v<T> ? f32
                                       : std::same_as<T, bool>     ? boolean
                                                                   : i64;
/// The dtype of memory: the one that holds every T.
template <Number T>
inline constexpr DType exact_dtype = std::same_as<T, double> ? f64 : literal_dtype<T>;

/// A number of whichever C++ type.
struct AnyNumber {
  template <Number T>
  constexpr AnyNumber(T number) noexcept
      : real(static_cast<double>(number)),
        integer(std::is_floating_point_v<T> ? 0 : static_cast<std::int64_t>(number)),
        integral(std::is_integral_v<T>),
        too_large(std::is_unsigned_v<T> && std::is_integral_v<T> && integer < 0) {}
  double real;
  std::int64_t integer;
  bool integral;
  bool too_large;  // an unsigned number beyond i64
};

/// A value for the elements of a tensor; errors name `op`.
Ref<Value> make_value(const char* op, const Shape& shape, DType dtype, const Where& where);
Tensor full(const char* op, const Shape& shape, AnyNumber value, DType dtype, const Where& where);
Tensor arange(AnyNumber start, AnyNumber stop, AnyNumber step, DType dtype, const Where& where);

/// Converts n numbers into elements `offset` … of a value. Defined for every Number.
template <class T>
void put(Value& value, std::int64_t offset, const T* numbers, std::int64_t n, const char* op,
         const Where& where);
void put_bits(Value& value, const std::vector<bool>& bits);
void check_span(const char* op, std::size_t size, const Shape& shape, const Where& where);
[[noreturn]] void throw_ragged(const Shape& row, std::size_t size, std::int64_t expected,
                               const Where& where);

template <Number T>
void outline(T, Shape&) {}
template <class T>
void outline(const std::initializer_list<T>& list, Shape& shape) {
  shape.push_back(static_cast<std::int64_t>(list.size()));
  if (list.size() != 0) outline(*list.begin(), shape);
}

/// Writes a nested list into a value of the shape of its first rows, and throws for ragged ones.
struct ListWriter {
  Value& value;
  const Where& where;
  std::int64_t offset = 0;
  Shape row = {};

  template <class T>
  void write(const std::initializer_list<T>& list) {
    const std::int64_t expected = value.dims()[row.rank()];
    if (static_cast<std::int64_t>(list.size()) != expected)
      throw_ragged(row, list.size(), expected, where);
    if constexpr (Number<T>) {
      put(value, offset, list.begin(), expected, "tensor", where);
      offset += expected;
    } else {
      row.push_back(0);
      for (const T& inner : list) {
        write(inner);
        ++row[row.rank() - 1];
      }
      row.erase(row.rank() - 1);
    }
  }
};

template <class T>
Tensor tensor_of(const std::initializer_list<T>& list, int depth, DType dtype, const Where& where) {
  Shape shape;
  outline(list, shape);
  while (shape.rank() < depth) shape.push_back(0);  // {} and {{}, {}}
  Ref<Value> value = make_value("tensor", shape, dtype, where);
  ListWriter{*value, where}.write(list);
  return Tensor(std::move(value));
}

}  // namespace detail

// --- constant and regular tensors ---

/// A tensor of zeros (false for boolean).
Tensor zeros(const Shape& shape, DType dtype = f32, Where where = Where::current());
/// A tensor of ones (true for boolean).
Tensor ones(const Shape& shape, DType dtype = f32, Where where = Where::current());
/// A tensor whose elements are all `value`. Throws ValueError when an i64 cannot hold it (a
/// fraction, NaN, too large); a boolean is true unless the value is 0.
template <Number T>
Tensor full(const Shape& shape, T value, DType dtype = f32, Where where = Where::current()) {
  return detail::full("full", shape, value, dtype, where);
}
/// The identity (n, n).
Tensor eye(std::int64_t n, DType dtype = f32, Where where = Where::current());
/// Ones on the main diagonal of (rows, columns), zeros elsewhere.
Tensor eye(std::int64_t rows, std::int64_t columns, DType dtype = f32,
           Where where = Where::current());

/// start, start + step, … up to, and without, stop: ceil((stop − start) / step) elements, none when
/// stop lies on the other side. i64 when all arguments are integers, else f32; element i is
/// computed as start + i · step in i64 or f64. Throws ValueError for a step of 0, arguments that
/// are NaN or infinite, fractions with i64, and i64 overflow; DTypeError for boolean.
template <Number A, Number B, Number C>
Tensor arange(A start, B stop, C step,
              DType dtype = detail::literal_dtype<std::common_type_t<A, B, C, int>>,
              Where where = Where::current()) {
  return detail::arange(start, stop, step, dtype, where);
}
/// arange with a step of 1.
template <Number A, Number B>
Tensor arange(A start, B stop, DType dtype = detail::literal_dtype<std::common_type_t<A, B, int>>,
              Where where = Where::current()) {
  return detail::arange(start, stop, 1, dtype, where);
}
/// arange from 0 with a step of 1.
template <Number B>
Tensor arange(B stop, DType dtype = detail::literal_dtype<std::common_type_t<B, int>>,
              Where where = Where::current()) {
  return detail::arange(0, stop, 1, dtype, where);
}

/// `count` evenly spaced numbers from start to stop, both included; one number is start. Computed
/// in f64. Throws ValueError for a count below 1 and bounds that are NaN or infinite, DTypeError
/// unless floating.
Tensor linspace(double start, double stop, std::int64_t count, DType dtype = f32,
                Where where = Where::current());

/// Zeros, ones or `value` in the shape and dtype of another tensor.
Tensor zeros_like(const Tensor& like, Where where = Where::current());
Tensor ones_like(const Tensor& like, Where where = Where::current());
template <Number T>
Tensor full_like(const Tensor& like, T value, Where where = Where::current()) {
  const Value& of = like.value(where, "full_like");
  return detail::full("full_like", of.shape(), value, of.dtype(), where);
}

// --- from literals ---

/// A scalar `()`, or a tensor of nested lists, `tensor({{1.0, 2.0}, {3.0, 4.0}})`, up to four
/// deep. Integers give i64, float and double f32, bool boolean, unless a dtype is named:
/// `tensor({1.0, 2.0}, f64)`. The elements of a list are of one C++ type. Throws ShapeError when
/// rows differ in length, and names the row; ValueError when an i64 cannot hold a number.
template <Number T>
Tensor tensor(T value, DType dtype = detail::literal_dtype<T>, Where where = Where::current()) {
  return detail::full("tensor", {}, value, dtype, where);
}
template <Number T>
Tensor tensor(std::initializer_list<T> values, DType dtype = detail::literal_dtype<T>,
              Where where = Where::current()) {
  return detail::tensor_of(values, 1, dtype, where);
}
template <Number T>
Tensor tensor(std::initializer_list<std::initializer_list<T>> values,
              DType dtype = detail::literal_dtype<T>, Where where = Where::current()) {
  return detail::tensor_of(values, 2, dtype, where);
}
template <Number T>
Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<T>>> values,
              DType dtype = detail::literal_dtype<T>, Where where = Where::current()) {
  return detail::tensor_of(values, 3, dtype, where);
}
template <Number T>
Tensor tensor(
    std::initializer_list<std::initializer_list<std::initializer_list<std::initializer_list<T>>>>
        values,
    DType dtype = detail::literal_dtype<T>, Where where = Where::current()) {
  return detail::tensor_of(values, 4, dtype, where);
}

// --- from memory ---

/// A copy of row-major numbers in the given shape. The dtype is the one of T; the smaller integers
/// become i64. Throws ShapeError unless the shape has as many elements as there are numbers.
template <class T, std::size_t N>
  requires Number<std::remove_cv_t<T>>
Tensor from_span(std::span<T, N> numbers, const Shape& shape, Where where = Where::current()) {
  using Element = std::remove_cv_t<T>;
  detail::check_span("from_span", numbers.size(), shape, where);
  Ref<Value> value = detail::make_value("from_span", shape, detail::exact_dtype<Element>, where);
  detail::put<Element>(*value, 0, numbers.data(), value->numel(), "from_span", where);
  return Tensor(std::move(value));
}

/// The same from a vector.
template <Number T>
Tensor from_vector(const std::vector<T>& numbers, const Shape& shape,
                   Where where = Where::current()) {
  detail::check_span("from_vector", numbers.size(), shape, where);
  Ref<Value> value = detail::make_value("from_vector", shape, detail::exact_dtype<T>, where);
  if constexpr (std::same_as<T, bool>)
    detail::put_bits(*value, numbers);
  else
    detail::put(*value, 0, numbers.data(), value->numel(), "from_vector", where);
  return Tensor(std::move(value));
}
/// A 1-d tensor (n,) of the n numbers.
template <Number T>
Tensor from_vector(const std::vector<T>& numbers, Where where = Where::current()) {
  return from_vector(numbers, {static_cast<std::int64_t>(numbers.size())}, where);
}

/// A tensor that reads (and with mutable_data() writes) the caller's own row-major memory: nothing
/// is copied. T is float, double, std::int64_t or bool. The memory must outlive every handle, view
/// and graph that uses the tensor; with `release`, that end is told by one call
/// `release(context)`, on whichever thread it happens, which must not throw. (When borrow() itself
/// throws, it is not called.) Changes of the memory behind the library's back are not seen by the
/// check of versions: gradients of what was recorded, and log(p) of a recorded p = softmax(x), read
/// what stands there then. Memory borrowed as const is never written: mutable_data() throws
/// ValueError. Throws ShapeError unless the shape has as many elements as the span.
template <class T, std::size_t N>
Tensor borrow(std::span<T, N> memory, const Shape& shape, void (*release)(void* context),
              void* context, Where where = Where::current()) {
  detail::check_span("borrow", memory.size(), shape, where);
  return detail::naming_memory("borrow", where, [&] {
    return Tensor(Value::borrow(dtype_of<std::remove_cv_t<T>>, shape,
                                const_cast<std::remove_cv_t<T>*>(memory.data()), release, context,
                                std::is_const_v<T>));
  });
}
template <class T, std::size_t N>
Tensor borrow(std::span<T, N> memory, const Shape& shape, Where where = Where::current()) {
  return borrow(memory, shape, nullptr, nullptr, where);
}

}  // namespace chainrule
