#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include <chainrule/core/allocator.hpp>
#include <chainrule/core/error.hpp>
#include <chainrule/core/value.hpp>
#include <chainrule/tests/core/error_of.hpp>

using namespace chainrule;

TEST_SUITE_BEGIN("core");

namespace {

void count(void* counter) { ++*static_cast<int*>(counter); }

}  // namespace

TEST_CASE("value: an owner is row-major and its own") {
  const Ref<Value> value = Value::make(f64, {2, 3, 4});
  CHECK(value->dtype() == f64);
  CHECK(value->shape() == Shape{2, 3, 4});
  CHECK(value->strides_shape() == Shape{12, 4, 1});
  CHECK(value->numel() == 24);
  CHECK(value->byte_count() == 192);
  CHECK(value->contiguous());
  CHECK(value->exclusive());
  CHECK(value->owner() == value.get());
  CHECK(value->version() == 0);
  value->data<double>()[23] = 1.5;
  CHECK(value->data<double>()[23] == 1.5);
  const Ref<Value> second = value;
  CHECK_FALSE(value->exclusive());
}

TEST_CASE("value: scalars and empty values") {
  const Ref<Value> scalar = Value::make(f32, {});
  CHECK(scalar->rank() == 0);
  CHECK(scalar->numel() == 1);
  CHECK(scalar->contiguous());
  const Ref<Value> none = Value::make(i64, {3, 0, 2});
  CHECK(none->numel() == 0);
  CHECK(none->byte_count() == 0);
  CHECK(none->contiguous());
  CHECK(Value::make(f32, {std::int64_t{1} << 50, 0})->numel() == 0);
}

TEST_CASE("value: the elements of large values start on a cache line") {
  for (const std::int64_t n : {64, 75, 100, 1000, 100'000}) {
    std::vector<Ref<Value>> several;  // side by side
    for (int i = 0; i < 9; ++i) {
      several.push_back(Value::make(f64, {n}));
      CHECK(reinterpret_cast<std::uintptr_t>(several.back()->bytes()) % 64 == 0);
    }
  }
}

TEST_CASE("value: extents that cannot be") {
  CHECK(error_of<ShapeError>([] { Value::make(f32, {2, -3}); }) ==
        "shape: negative extent in (2, -3)");
  const std::int64_t huge = std::int64_t{1} << 40;
  CHECK(error_of<ShapeError>([&] { Value::make(f32, {huge, huge}); }) ==
        "shape: (1099511627776, 1099511627776) has more elements than can be counted");
  CHECK_THROWS_AS(Value::make(f32, {huge, huge, 0}), ShapeError);
}

TEST_CASE("value: views share elements and version, and keep the base") {
  const std::int64_t before = memory_stats().live_bytes;
  Ref<Value> base = Value::make(f32, {2, 3});
  for (int i = 0; i < 6; ++i) base->data<float>()[i] = static_cast<float>(i);
  Ref<Value> transposed = Value::view(base, {3, 2}, {1, 3}, 0);
  CHECK_FALSE(transposed->contiguous());
  CHECK_FALSE(transposed->exclusive());
  CHECK(transposed->owner() == base.get());
  Ref<Value> column = Value::view(transposed, {2}, {3}, 1);  // of a view: column 1 of the base
  CHECK(column->owner() == base.get());
  CHECK(column->data<float>()[0] == 1);
  CHECK(column->data<float>()[column->strides()[0]] == 4);
  column->bump_version();
  CHECK(base->version() == 1);
  CHECK(transposed->version() == 1);
  base->bump_version();
  CHECK(column->version() == 2);
  base = {};
  transposed = {};
  CHECK(column->data<float>()[3] == 4);
  CHECK(column->version() == 2);
  column = {};
  CHECK(memory_stats().live_bytes == before);
}

TEST_CASE("value: which strides are row-major") {
  const auto contiguous = [](const Shape& dims, const Shape& strides) {
    return is_contiguous(dims.data(), strides.data(), dims.rank());
  };
  CHECK(contiguous({}, {}));
  CHECK(contiguous({2, 3}, {3, 1}));
  CHECK_FALSE(contiguous({2, 3}, {1, 2}));
  CHECK_FALSE(contiguous({2, 3}, {0, 1}));
  CHECK_FALSE(contiguous({3}, {-1}));
  CHECK_FALSE(contiguous({2, 3}, {4, 1}));
  CHECK(contiguous({1, 3, 1}, {99, 1, 7}));  // the stride of an axis of one element says nothing
  CHECK(contiguous({0, 3}, {9, 7}));         // nor do those of no elements
  CHECK(contiguous({3, 0}, {9, 7}));
}

TEST_CASE("value: a row-major view has row-major strides, and what is made like it") {
  const Ref<Value> base = Value::make(f32, {2, 3});
  const Ref<Value> row = Value::view(base, {1, 3, 1}, {0, 1, 0}, 3);
  CHECK(row->contiguous());
  CHECK(row->strides_shape() == Shape{3, 1, 1});
  const Ref<Value> like = Value::make_like(f64, *row);
  CHECK(like->dtype() == f64);
  CHECK(like->shape() == Shape{1, 3, 1});
  CHECK(like->strides_shape() == Shape{3, 1, 1});
  const Ref<Value> transposed = Value::view(base, {3, 2}, {1, 3}, 0);
  CHECK(Value::make_like(f32, *transposed)->strides_shape() == Shape{2, 1});
  CHECK(Value::make_like(f32, *transposed)->contiguous());
}

TEST_CASE("value: borrowed memory is released once, by the last user") {
  std::vector<double> memory{1, 2, 3, 4};
  int released = 0;
  {
    Ref<Value> value = Value::borrow(f64, {2, 2}, memory.data(), count, &released);
    CHECK(value->bytes() == memory.data());
    CHECK(value->contiguous());
    CHECK_FALSE(value->exclusive());
    CHECK_FALSE(value->read_only());
    Ref<Value> row = Value::view(value, {2}, {1}, 2);
    value = {};
    CHECK(released == 0);
    CHECK(row->data<double>()[0] == 3);
  }
  CHECK(released == 1);
  CHECK(memory == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("value: memory borrowed as const is read-only, and so are its views") {
  double memory[2] = {1, 2};
  const Ref<Value> value = Value::borrow(f64, {2}, memory, nullptr, nullptr, true);
  CHECK(value->read_only());
  CHECK(Value::view(value, {1}, {1}, 1)->read_only());
  CHECK_FALSE(Value::make(f64, {2})->read_only());
}

TEST_SUITE_END();
