// What check_gdb.py looks at, at the line of stop().

#include <chainrule/chainrule.hpp>

#include <memory>

namespace {

class Mixture : public cr::nn::Module {
 public:
  cr::nn::Parameter scale = parameter("scale", cr::tensor({0.5, 4.0}));
  cr::nn::Buffer mean = buffer("mean", cr::tensor({{0.25}, {8.0}}));
  cr::nn::Linear out = child("out", cr::nn::Linear(2, 1));
  int components = 2;
  cr::Tensor forward(const cr::Tensor& x) override { return out(x * scale); }
};

void stop() {}

}  // namespace

int main() {
  const cr::Tensor undefined;
  const cr::Tensor W = cr::tensor({{1.5, -2.0, 3.0}, {4.0, 5.0, 6.5}}).named("W").requires_grad_();
  const cr::Tensor Wt = W.T();
  const cr::Tensor column = W(cr::all, 1);
  const cr::Tensor labels = cr::tensor({3, 1, 2});
  const cr::Tensor mask = labels > 1;
  const cr::Tensor scalar = cr::full({}, 2.5, cr::f64);
  const cr::Tensor large = cr::arange(0.0, 1000.0);
  const cr::Tensor empty = cr::zeros({0, 3});
  const cr::Shape shape{3, 4}, one{7}, none;
  Mixture model;
  model.out.weight.set(cr::tensor({{0.125, -1.0}}));
  model.out.bias.set(cr::tensor({16.0}));
  const cr::nn::Module& base = model;
  stop();
  return base.is_training() && undefined.defined() ? 1 : 0;
}
