#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include <chainrule/core/create.hpp>
#include <chainrule/core/tensor.hpp>

/// Tensors as Eigen sees them, and back. The only header of the library that includes Eigen; the
/// umbrella does not bring it in. A map copies nothing and is valid as long as a handle of its
/// tensor lives. T is float, double, std::int64_t or bool, and must be the tensor's element type.

namespace chainrule {

/// A matrix in a tensor, of any strides.
template <class T>
using MatrixMap =
    Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
               Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
/// The same with coefficient-wise arithmetic.
template <class T>
using ArrayMap = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                            0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
/// A column vector in a tensor, of any stride.
template <class T>
using VectorMap = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>, 0, Eigen::InnerStride<>>;

/// An Eigen::Map for writing: row-major, without gaps. It keeps the memory, and is watched as a
/// WritableSpan is.
template <class Dense>
class WritableMap : public Eigen::Map<Dense> {
 public:
  WritableMap(const Tensor& tensor, Eigen::Index rows, Eigen::Index columns)
      : Eigen::Map<Dense>(static_cast<typename Dense::Scalar*>(tensor.value_ref()->bytes()), rows,
                          columns),
        writing_(tensor.value_ref()) {}
  using Eigen::Map<Dense>::operator=;
  WritableMap(const WritableMap&) = default;
  WritableMap& operator=(const WritableMap& other) {
    Eigen::Map<Dense>::operator=(other);  // the elements
    return *this;
  }

 private:
  Writing writing_;
};
template <class T>
using MutableMatrixMap =
    WritableMap<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
template <class T>
using MutableArrayMap =
    WritableMap<Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
template <class T>
using MutableVectorMap = WritableMap<Eigen::Matrix<T, Eigen::Dynamic, 1>>;

namespace detail {

template <class T>
void check_map(const char* function, const Tensor& tensor, int least, int most,
               const Where& where) {
  if (tensor.value(where, function).dtype() != dtype_of<T>)
    throw DTypeError(std::string(function) + ": asked for " + name_of(dtype_of<T>) + ", but " +
                         describe(tensor) + " holds " + name_of(tensor.dtype()),
                     where, std::string("convert it: to(x, ") + name_of(dtype_of<T>) + ")");
  if (tensor.rank() < least || tensor.rank() > most)
    throw ShapeError(std::string(function) + ": " + describe(tensor) + " has " +
                         std::to_string(tensor.rank()) + " axes, expected " +
                         (least == most ? "1" : "1 or 2"),
                     where, "reshape it first");
}

template <class Map, class T>
Map strided_map(const Value& value) {
  const std::int64_t* strides = value.strides();
  const bool vector = value.rank() == 1;
  return Map(value.data<T>(), value.dims()[0], vector ? 1 : value.dims()[1],
             {strides[0], vector ? 1 : strides[1]});
}

}  // namespace detail

/// The matrix (rows, columns) in a 2-d tensor, or the column (n, 1) in a 1-d one. Throws ShapeError
/// for other ranks, DTypeError unless the tensor holds T.
template <class T>
MatrixMap<T> as_matrix(const Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_matrix", tensor, 1, 2, where);
  return detail::strided_map<MatrixMap<T>, T>(*tensor.value_ref());
}

/// The same for arithmetic by coefficients.
template <class T>
ArrayMap<T> as_array(const Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_array", tensor, 1, 2, where);
  return detail::strided_map<ArrayMap<T>, T>(*tensor.value_ref());
}

/// The vector in a 1-d tensor. Throws ShapeError for other ranks, DTypeError unless it holds T.
template <class T>
VectorMap<T> as_vector(const Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_vector", tensor, 1, 1, where);
  const Value& value = *tensor.value_ref();
  return VectorMap<T>(value.data<T>(), value.numel(), Eigen::InnerStride<>(value.strides()[0]));
}

/// A 1-d or 2-d tensor for writing, with what Tensor::mutable_data() demands and does: the tensor
/// is row-major and not the result of a recorded operation, and its version moves (once for each
/// call).
template <class T>
MutableMatrixMap<T> as_mutable_matrix(Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_mutable_matrix", tensor, 1, 2, where);
  detail::mutable_data<T>(tensor, "as_mutable_matrix", where);
  return MutableMatrixMap<T>(tensor, tensor.size(0), tensor.rank() == 1 ? 1 : tensor.size(1));
}

/// The same for arithmetic by coefficients.
template <class T>
MutableArrayMap<T> as_mutable_array(Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_mutable_array", tensor, 1, 2, where);
  detail::mutable_data<T>(tensor, "as_mutable_array", where);
  return MutableArrayMap<T>(tensor, tensor.size(0), tensor.rank() == 1 ? 1 : tensor.size(1));
}

/// The same for a 1-d tensor as a vector.
template <class T>
MutableVectorMap<T> as_mutable_vector(Tensor& tensor, Where where = Where::current()) {
  detail::check_map<T>("as_mutable_vector", tensor, 1, 1, where);
  detail::mutable_data<T>(tensor, "as_mutable_vector", where);
  return MutableVectorMap<T>(tensor, tensor.size(0), 1);
}

/// A copy of any dense Eigen expression, which is evaluated: (rows, columns), or (n,) when it is a
/// row or column by its type. The dtype is the one of its scalars; smaller integers become i64.
template <class D>
Tensor from_eigen(const Eigen::DenseBase<D>& expression, Where where = Where::current()) {
  using Scalar = typename D::Scalar;
  static_assert(Number<Scalar>, "chainrule: from_eigen takes real numbers, integers and bool");
  constexpr bool is_array =
      std::is_same_v<typename Eigen::internal::traits<D>::XprKind, Eigen::ArrayXpr>;
  constexpr DType dtype = detail::exact_dtype<Scalar>;
  using T = std::conditional_t<dtype == i64, std::int64_t, Scalar>;
  using Map = Eigen::Map<
      std::conditional_t<is_array, Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                         Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>>;

  const Eigen::Index rows = expression.rows(), columns = expression.cols();
  Shape shape{rows, columns};
  if constexpr (D::IsVectorAtCompileTime) shape = Shape{rows * columns};
  Ref<Value> value = detail::make_value("from_eigen", shape, dtype, where);
  Map map(value->template data<T>(), rows, columns);
  if constexpr (std::is_same_v<T, Scalar>)
    map = expression.derived();
  else
    map = expression.derived().template cast<T>();
  return Tensor(std::move(value));
}

}  // namespace chainrule
