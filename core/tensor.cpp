#include <chainrule/core/tensor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include <chainrule/core/detail/text.hpp>
#include <chainrule/core/out_of_memory.hpp>
#include <chainrule/core/range_hint.hpp>

namespace chainrule {

namespace {

template <class T>
void check_type(const Tensor& tensor, const char* member, const Where& where) {
  if (tensor.value(where, member).dtype() != dtype_of<T>)
    throw DTypeError(fmt::format("{}<{}>: {} holds {}", member, name_of(dtype_of<T>),
                                 describe(tensor), name_of(tensor.dtype(where))),
                     where,
                     fmt::format("ask for {0}<{1}>(), or convert with to(x, {2})", member,
                                 tensor.dtype(where) == i64   ? "std::int64_t"
                                 : tensor.dtype(where) == f32 ? "float"
                                 : tensor.dtype(where) == f64 ? "double"
                                                              : "bool",
                                 name_of(dtype_of<T>)));
}

// The elements of a row-major tensor, for a member.
template <class T>
std::span<const T> adjacent_elements(const Tensor& tensor, const char* member, const Where& where,
                                     bool written = false) {
  check_type<T>(tensor, member, where);
  const Value& value = *tensor.value_ref();
  if (!value.contiguous())
    throw ShapeError(
        fmt::format("{}: {} is a view with strides {}, not row-major", member, describe(tensor),
                    to_string(value.strides_shape())),
        where,
        written ? "write into the tensor that it is a view of, or into contiguous(x), a "
                  "copy that the view does not see"
                : "contiguous(x) makes a row-major copy, to_vector<T>() reads any strides");
  return {value.data<T>(), static_cast<std::size_t>(value.numel())};
}

// A row-major value with the same elements, for a floating tensor.
Ref<Value> copy_of(const Tensor& tensor, const Where& where) {
  Ref<Value> copy = Value::make(tensor.dtype(), tensor.shape());
  visit_floating(copy->dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::ranges::copy(tensor.to_vector<T>(where), copy->template data<T>());
  });
  return copy;
}

}  // namespace

namespace {

constexpr const char* why_undefined =
    "it was default-constructed, moved from, or is the grad() of a tensor that has none";

}  // namespace

void Tensor::throw_undefined(const Where& where, const char* op, const char* operand) {
  throw ValueError(fmt::format("{}{}the {} is undefined", op, *op ? ": " : "", operand), where,
                   why_undefined);
}

std::string detail::one_of(const char* what, std::size_t i, std::size_t count) {
  return count == 1 ? fmt::format("the {}", what) : fmt::format("{} {}", what, i);
}

void detail::check_defined(const char* op, const char* what, std::span<const Tensor> tensors,
                           const Where& where) {
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].defined())
      throw ValueError(fmt::format("{}: {} is undefined", op, one_of(what, i, tensors.size())),
                       where, why_undefined);
}

std::int64_t Tensor::size(int axis, Where where) const {
  const Value& mine = value(where, "size");
  const int at = axis < 0 ? axis + mine.rank() : axis;
  if (at < 0 || at >= mine.rank())
    throw IndexError(fmt::format("size: axis {} of {}, which has {}", axis, describe(*this),
                                 detail::counted(mine.rank(), "axis", "axes")),
                     where, detail::range_hint("axes", mine.rank()));
  return mine.dims()[at];
}

void Tensor::check_one_element(const Where& where) const {
  const Value& mine = value(where, "item");
  if (mine.numel() != 1)
    throw ShapeError(
        fmt::format("item: {} has {} elements, not one", describe(*this), mine.numel()), where,
        "at({i, j}) reads one of several, sum(x) or mean(x) reduces them");
}

std::int64_t Tensor::offset_of(const Shape& index, const Where& where) const {
  const Value& mine = value(where, "at");
  if (index.rank() != mine.rank())
    throw IndexError(fmt::format("at: {} for {}, which has {}",
                                 detail::counted(index.rank(), "index", "indices"), describe(*this),
                                 detail::counted(mine.rank(), "axis", "axes")),
                     where, "give one for each axis");
  std::int64_t offset = 0;
  for (int i = 0; i < index.rank(); ++i) {
    const std::int64_t extent = mine.dims()[i];
    const std::int64_t at = index[i] < 0 ? index[i] + extent : index[i];
    if (at < 0 || at >= extent)
      throw IndexError(fmt::format("at: index {} is out of range for axis {} of {}", index[i], i,
                                   describe(*this)),
                       where, detail::range_hint("positions", extent));
    offset += at * mine.strides()[i];
  }
  return offset;
}

template <class T, DType>
std::vector<T> Tensor::to_vector(Where where) const {
  check_type<T>(*this, "to_vector", where);
  const Value& mine = *value_;
  const T* data = mine.data<T>();
  std::vector<T> elements;
  detail::naming_memory("to_vector", where,
                        [&] { elements.reserve(static_cast<std::size_t>(mine.numel())); });
  mine.for_each_offset([&](std::int64_t offset) { elements.push_back(data[offset]); });
  return elements;
}

template <class T, DType>
std::span<const T> Tensor::data(Where where) const {
  return adjacent_elements<T>(*this, "data", where);
}

template <class T, DType>
WritableSpan<T> detail::mutable_data(const Tensor& tensor, const char* function,
                                     const Where& where) {
  const std::span<const T> elements = adjacent_elements<T>(tensor, function, where, true);
  const Node* node = tensor.node();
  if (node && !node->is_leaf() && node->requires_grad())
    throw GradError(
        fmt::format("{}: {} is the result of a recorded operation and cannot be written", function,
                    describe(tensor)),
        where,
        "write into parameters and data, or into x.detach() knowing that a graph that saved it "
        "will refuse its backward");
  if (tensor.value_ref()->read_only())
    throw ValueError(
        fmt::format("{}: {} is borrowed memory that is const", function, describe(tensor)), where,
        "borrow a span of non-const elements, or copy them with from_span");
  tensor.value_ref()->bump_version();
  return {std::span(const_cast<T*>(elements.data()), elements.size()), tensor.value_ref()};
}

template <class T, DType>
WritableSpan<T> Tensor::mutable_data(Where where) {
  return detail::mutable_data<T>(*this, "mutable_data", where);
}

Tensor& Tensor::requires_grad_(bool on, Where where) & {
  const Value& mine = value(where, "requires_grad_");
  if (requires_grad() == on) return *this;
  if (!on && !node_->is_leaf())
    throw GradError(
        fmt::format("requires_grad_: {} is the result of a recorded operation", describe(*this)),
        where, "use detach() for the value without its graph");
  if (on && !is_floating(mine.dtype()))
    throw DTypeError(fmt::format("requires_grad_: {} holds {}, and only f32 and f64 have gradients",
                                 describe(*this), name_of(mine.dtype())),
                     where, "convert it first: to(x, f32)");
  // A new leaf: graphs that know the old one as it was stay as they are.
  detail::naming_memory("requires_grad_", where, [&] {
    Ref<Node> leaf = Node::make_leaf(mine, on, where);
    if (!name().empty()) leaf->set_name(name());
    node_ = std::move(leaf);
  });
  return *this;
}

Tensor Tensor::requires_grad_(bool on, Where where) && {
  return std::move(static_cast<Tensor&>(*this).requires_grad_(on, where));
}

Tensor Tensor::named(std::string_view name, Where where) const {
  return detail::naming_memory("named", where, [&] {
    Ref<Node> node = node_ ? node_ : Node::make_leaf(value(where, "named"), false, where);
    node->set_name(name);
    return Tensor(value_, std::move(node));
  });
}

Tensor Tensor::named(std::string_view name, std::initializer_list<std::string_view> axes,
                     Where where) const {
  const int rank = value(where, "named").rank();
  if (axes.size() != static_cast<std::size_t>(rank))
    throw ShapeError(fmt::format("named: {} names of axes for {}", axes.size(), describe(*this)),
                     where, "name each axis, \"\" for one without a name");
  const std::span<const std::string_view> names(axes.begin(), axes.end());
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) {
      const std::int64_t first = size(static_cast<int>(k)), other = size(static_cast<int>(i));
      if (names[i].empty() || names[i] != names[k] || first == other) continue;
      throw ShapeError(fmt::format("named: the axis {} of {} has {} elements, and {}",
                                   detail::printable(names[i]), describe(*this), first, other),
                       where, "give axes of different extents different names");
    }
  return detail::naming_memory("named", where, [&] {
    Tensor tensor = named(name, where);
    tensor.node()->set_axes({axes.begin(), axes.end()});
    return tensor;
  });
}

Tensor Tensor::detach(Where where) const {
  value(where, "detach");
  return Tensor(value_);
}

Tensor Tensor::grad(Where where) const {
  value(where, "grad");
  if (!node_) return {};
  detail::naming_memory("grad", where, [&] { node_->make_grad_dense(); });
  return Tensor(node_->grad_value(), node_->grad_node());
}

void Tensor::set_grad(const Tensor& grad, Where where) {
  value(where, "set_grad");
  if (!grad.defined()) return zero_grad();
  if (!is_leaf())
    throw GradError(
        fmt::format("set_grad: {} is the result of a recorded operation", describe(*this)), where,
        "only parameters keep a gradient: x.detach().requires_grad_() makes one of its value");
  if (!requires_grad())
    throw GradError(fmt::format("set_grad: {} is not a parameter", describe(*this)), where,
                    "call requires_grad_() on it first");
  if (grad.value_->dtype() != value_->dtype())
    throw DTypeError(
        fmt::format("set_grad: the gradient {} holds {}, but the parameter {} {}", describe(grad),
                    name_of(grad.value_->dtype()), describe(*this), name_of(value_->dtype())),
        where, fmt::format("convert it: to(gradient, {})", name_of(value_->dtype())));
  if (!grad.value_->same_shape(*value_))
    throw ShapeError(fmt::format("set_grad: the gradient {} has not the shape of the parameter {}",
                                 describe(grad), describe(*this)),
                     where, "a gradient has one element for each of the parameter");
  // No graph: one that leads back to this parameter would keep it, and itself, for ever. And no
  // memory of the parameter's own, which a step writes to while it reads the gradient.
  const bool shared = grad.value_->owner() == value_->owner();
  detail::naming_memory("set_grad", where,
                        [&] { node_->set_grad(shared ? copy_of(grad, where) : grad.value_, {}); });
}

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  const std::string shape = to_string(tensor.shape());
  return tensor.name().empty() ? shape : fmt::format("{} {}", tensor.name(), shape);
}

#define CHAINRULE_ELEMENT_TYPE(T)                            \
  template std::vector<T> Tensor::to_vector<T>(Where) const; \
  template std::span<const T> Tensor::data<T>(Where) const;  \
  template WritableSpan<T> Tensor::mutable_data<T>(Where);   \
  template WritableSpan<T> detail::mutable_data<T>(const Tensor&, const char*, const Where&);
CHAINRULE_ELEMENT_TYPE(float)
CHAINRULE_ELEMENT_TYPE(double)
CHAINRULE_ELEMENT_TYPE(std::int64_t)
CHAINRULE_ELEMENT_TYPE(bool)
#undef CHAINRULE_ELEMENT_TYPE

}  // namespace chainrule
