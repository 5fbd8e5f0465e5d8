#include <chainrule/core/value.hpp>

#include <fmt/format.h>

#include <cstring>
#include <new>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/error.hpp>

namespace chainrule {

// Whoever links a tensor links the script with which gdb shows it (core/gdb/printers.cpp.in).
namespace detail {
struct Printers;
extern const Printers gdb_printers;
}  // namespace detail
[[gnu::used]] static const detail::Printers* const printers = &detail::gdb_printers;

namespace {

// Small elements follow their header directly; large ones start on a cache line.
constexpr std::size_t align_from = 512;

// So many that their bytes can be counted.
constexpr std::int64_t most_elements = std::int64_t{1} << 59;

struct Borrowed {
  void (*release)(void*);
  void* context;
};

constexpr std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Where the elements stand behind a header, and the bytes of both: whole lines of the cache, so
// that small blocks of this size, which stand side by side, begin with one.
std::size_t place_of_elements(std::size_t header, std::size_t elements) {
  return elements < align_from ? header : whole_lines(header);
}
std::size_t owner_bytes(std::size_t header, std::size_t elements) {
  return elements < align_from ? header + elements : whole_lines(header) + whole_lines(elements);
}

[[noreturn]] void bad_extents(const std::int64_t* dims, int rank) {
  const Shape shape(std::span(dims, static_cast<std::size_t>(rank)));
  for (std::int64_t dim : shape)
    if (dim < 0) throw ShapeError(fmt::format("shape: negative extent in {}", to_string(shape)));
  throw ShapeError(
      fmt::format("shape: {} has more elements than can be counted", to_string(shape)));
}

// The number of elements, or −1 where there can be no such tensor: also where some extents have a
// product that is too large, but another is 0.
[[gnu::cold]] std::int64_t numel_or_none(const std::int64_t* dims, int rank) noexcept {
  std::int64_t n = 1;
  bool none = false, overflow = false;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] < 0) return -1;
    none |= dims[i] == 0;
    if (dims[i] != 0) overflow |= __builtin_mul_overflow(n, dims[i], &n);
  }
  if (overflow || n > most_elements) return -1;
  return none ? 0 : n;
}

std::int64_t checked_numel(const std::int64_t* dims, int rank) {
  const std::int64_t n = numel_or_none(dims, rank);
  if (n < 0) bad_extents(dims, rank);
  return n;
}

}  // namespace

bool is_contiguous(const std::int64_t* dims, const std::int64_t* strides, int rank) noexcept {
  for (int i = 0; i < rank; ++i)
    if (dims[i] == 0) return true;
  std::int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (dims[i] != 1 && strides[i] != step) return false;
    step *= dims[i];
  }
  return true;
}

Value* Value::make_owner(DType dtype, int rank, std::int64_t numel) {
  const std::size_t header =
      sizeof(Value) + 2 * static_cast<std::size_t>(rank) * sizeof(std::int64_t);
  const std::size_t elements = static_cast<std::size_t>(numel) * size_of(dtype);
  const std::size_t bytes = owner_bytes(header, elements);
  auto* block = static_cast<char*>(memory::allocate(bytes));
  auto* value = new (block) Value;
  value->dtype_ = dtype;
  value->rank_ = static_cast<std::uint8_t>(rank);
  value->contiguous_ = true;
  value->borrowed_ = false;
  if (bytes <= memory::largest_small) value->small_block_ = static_cast<std::uint16_t>(bytes);
  value->elements_ = block + place_of_elements(header, elements);
  value->base_ = nullptr;
  value->numel_ = numel;
  return value;
}

Ref<Value> Value::make(DType dtype, const std::int64_t* dims, int rank) {
  if (rank == 2) {  // by far the most frequent
    std::int64_t n;
    if (__builtin_mul_overflow(dims[0], dims[1], &n) || (dims[0] | dims[1]) < 0 ||
        n > most_elements) [[unlikely]]
      bad_extents(dims, rank);
    Value* value = make_owner(dtype, 2, n);
    auto* to = reinterpret_cast<std::int64_t*>(value + 1);
    to[0] = dims[0];
    to[1] = to[2] = dims[1];
    to[3] = 1;
    return Ref<Value>::adopt(value);
  }
  std::int64_t n = 1, sign = 0;
  bool unusual = false;
  for (int i = 0; i < rank; ++i) {
    unusual |= __builtin_mul_overflow(n, dims[i], &n);
    sign |= dims[i];
  }
  if (unusual || sign < 0 || n == 0 || n > most_elements) [[unlikely]]
    n = checked_numel(dims, rank);
  Value* value = make_owner(dtype, rank, n);
  auto* to = reinterpret_cast<std::int64_t*>(value + 1);
  std::int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    to[i] = dims[i];
    to[rank + i] = step;
    step *= dims[i];
  }
  return Ref<Value>::adopt(value);
}

Ref<Value> Value::make_like(DType dtype, const Value& other) {
  if (!other.contiguous_) return make(dtype, other.dims(), other.rank_);
  Value* value = make_owner(dtype, other.rank_, other.numel_);
  auto* to = reinterpret_cast<std::int64_t*>(value + 1);
  const std::int64_t* from = other.dims();
  if (other.rank_ == 2) {  // one copy without a loop
    std::memcpy(to, from, 4 * sizeof(std::int64_t));
  } else {
    for (int i = 0; i < 2 * other.rank_; ++i) to[i] = from[i];
  }
  return Ref<Value>::adopt(value);
}

bool Value::has_room_for(const Shape& shape, const Shape& strides,
                         std::int64_t offset) const noexcept {
  if (shape.rank() != strides.rank()) return false;
  const Value& owner = base_ ? *base_ : *this;
  const auto here =
      (static_cast<const char*>(elements_) - static_cast<const char*>(owner.elements_)) /
      static_cast<std::ptrdiff_t>(size_of(dtype_));
  std::int64_t first = 0;
  if (__builtin_add_overflow(here, offset, &first)) return false;
  std::int64_t last = first, count = 1;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    std::int64_t reach = 0;
    if (shape[axis] <= 0) [[unlikely]]
      return numel_or_none(shape.data(), shape.rank()) == 0;
    if (__builtin_mul_overflow(count, shape[axis], &count)) return false;
    if (__builtin_mul_overflow(shape[axis] - 1, strides[axis], &reach)) return false;
    std::int64_t& end = reach < 0 ? first : last;
    if (__builtin_add_overflow(end, reach, &end)) return false;
  }
  return first >= 0 && last < owner.numel_ && count <= most_elements;
}

Ref<Value> Value::view(const Ref<Value>& of, const Shape& shape, const Shape& strides,
                       std::int64_t offset) {
  const int rank = shape.rank();
  void* const elements =
      static_cast<char*>(of->elements_) + offset * static_cast<std::int64_t>(size_of(of->dtype_));
  // A view that undoes another, as the transpose of a transpose, is the base again: nothing keeps
  // the base from being exclusive() once the first view is gone.
  if (Value* base = of->base_; base && base->elements_ == elements && base->shape() == shape &&
                               is_contiguous(shape.data(), strides.data(), rank))
    return Ref<Value>::share(base);
  const std::size_t header =
      sizeof(Value) + 2 * static_cast<std::size_t>(rank) * sizeof(std::int64_t);
  auto* value = new (memory::allocate(header)) Value;
  value->dtype_ = of->dtype_;
  value->rank_ = static_cast<std::uint8_t>(rank);
  value->borrowed_ = false;
  value->elements_ = elements;
  value->base_ = of->base_ ? of->base_ : of.get();
  value->base_->refs.retain();
  value->numel_ = shape.numel();
  auto* to = reinterpret_cast<std::int64_t*>(value + 1);
  for (int i = 0; i < rank; ++i) {
    to[i] = shape[i];
    to[rank + i] = strides[i];
  }
  value->contiguous_ = is_contiguous(to, to + rank, rank);
  if (value->contiguous_) {
    // The strides of axes of one element may be anything; make_like() and BLAS want them row-major.
    std::int64_t step = 1;
    for (int i = rank - 1; i >= 0; --i) {
      to[rank + i] = step;
      step *= to[i];
    }
  }
  return Ref<Value>::adopt(value);
}

Ref<Value> Value::borrow(DType dtype, const Shape& shape, void* elements,
                         void (*release)(void* context), void* context, bool read_only) {
  const int rank = shape.rank();
  const std::int64_t numel = checked_numel(shape.data(), rank);
  const std::size_t header =
      sizeof(Value) + 2 * static_cast<std::size_t>(rank) * sizeof(std::int64_t);
  auto* block = static_cast<char*>(memory::allocate(header + sizeof(Borrowed)));
  auto* value = new (block) Value;
  value->dtype_ = dtype;
  value->rank_ = static_cast<std::uint8_t>(rank);
  value->contiguous_ = true;
  value->borrowed_ = true;
  value->read_only_ = read_only;
  value->elements_ = elements;
  value->base_ = nullptr;
  value->numel_ = numel;
  auto* to = reinterpret_cast<std::int64_t*>(value + 1);
  const Shape strides = contiguous_strides(shape);
  for (int i = 0; i < rank; ++i) {
    to[i] = shape[i];
    to[rank + i] = strides[i];
  }
  new (block + header) Borrowed{release, context};
  return Ref<Value>::adopt(value);
}

namespace {

constexpr std::uint8_t many = 255;

// A multiplication carries differences to higher bits, and the shift brings them down again.
std::uint64_t mixed(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15U;
  return hash ^ hash >> 32;
}

std::uint64_t hash_of(const unsigned char* bytes, std::size_t count, std::uint64_t hash) noexcept {
  std::size_t i = 0;
  for (std::uint64_t word; i + sizeof word <= count; i += sizeof word) {
    std::memcpy(&word, bytes + i, sizeof word);
    hash = mixed(hash, word);
  }
  for (; i < count; ++i) hash = mixed(hash, bytes[i]);
  return hash;
}

}  // namespace

void Value::count_writer(int change) noexcept {
  std::atomic<std::uint8_t>& writers = (base_ ? base_ : this)->writers_;
  std::uint8_t count = writers.load(std::memory_order_relaxed);
  while (count != many &&
         !writers.compare_exchange_weak(count, static_cast<std::uint8_t>(count + change))) {
  }
}

std::uint32_t Value::content() const noexcept {
  const auto* bytes = static_cast<const unsigned char*>(elements_);
  std::uint64_t hash = 0;
  if (contiguous_) {
    hash = hash_of(bytes, byte_count(), hash);
  } else {
    const std::size_t size = size_of(dtype_);
    for_each_offset([&](std::int64_t offset) {
      hash = hash_of(bytes + offset * static_cast<std::int64_t>(size), size, hash);
    });
  }
  return static_cast<std::uint32_t>(mixed(hash, 1) >> 34);
}

void Value::destroy(Value* value) noexcept {
  if (value->small_block_ != 0) return memory::deallocate(value, value->small_block_);
  const std::size_t header = value->header_bytes();
  if (Value* base = value->base_) {
    memory::deallocate(value, header);
    if (base->refs.release()) destroy(base);  // a base has no base: one level deep
  } else if (value->borrowed_) {
    const Borrowed loan = *reinterpret_cast<Borrowed*>(reinterpret_cast<char*>(value) + header);
    memory::deallocate(value, header + sizeof(Borrowed));
    if (loan.release) loan.release(loan.context);
  } else {
    memory::deallocate(value, owner_bytes(header, value->byte_count()));
  }
}

}  // namespace chainrule
