#include <chainrule/core/dtype.hpp>

namespace chainrule {

const char* name_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    default:
      return "boolean";
  }
}

}  // namespace chainrule
