#include <chainrule/chainrule.hpp>
#include <chainrule/tests/nn/no_rtti.hpp>

#ifdef __cpp_rtti
#error "this file is to be compiled with -fno-rtti"
#endif

namespace chainrule {

namespace {

class Doubled : public nn::Module {
  nn::Linear inner = child("inner", nn::Linear(1, 1));
  nn::Parameter shift = parameter("shift", tensor({0.5}));

 public:
  Tensor forward(const Tensor& x) override { return 2.0 * (x + shift); }
};

}  // namespace

std::unique_ptr<nn::Module> doubled() { return std::make_unique<Doubled>(); }

std::string message_of_wrong_features() {
  nn::Sequential model(Doubled(), nn::Linear(3, 2), nn::ReLU());
  try {
    (void)model(ones({1, 2}));
  } catch (const ShapeError& error) {
    return error.what();
  }
  return "";
}

}  // namespace chainrule
