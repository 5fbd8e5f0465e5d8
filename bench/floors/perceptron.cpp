#include <chainrule/bench/floors/perceptron.hpp>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include <chainrule/bench/floors/optimizers.hpp>

namespace floors {

namespace {

using Array = Eigen::Map<Eigen::ArrayXf>;
using ConstantArray = Eigen::Map<const Eigen::ArrayXf>;

}  // namespace

Perceptron::Perceptron(std::span<const int> sizes, int batch, Activation activation,
                       Optimizer optimizer, float rate, Engine engine)
    : batch_(batch), activation_(activation), optimizer_(optimizer), rate_(rate), engine_(engine) {
  const auto parameter = [&](std::size_t n) {
    Parameter result;
    result.value.resize(n);
    result.gradient.resize(n);
    if (optimizer == Optimizer::adam) {
      result.m.resize(n);
      result.v.resize(n);
    }
    return result;
  };
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
    const auto inputs = static_cast<std::size_t>(sizes[l]);
    const auto units = static_cast<std::size_t>(sizes[l + 1]);
    const std::vector<float> of_batch(units * static_cast<std::size_t>(batch));
    layers_.push_back(
        {sizes[l], sizes[l + 1], parameter(inputs * units), parameter(units), of_batch, of_batch});
  }
}

std::size_t Perceptron::bytes() const {
  std::size_t numbers = 0;
  for (const Layer& layer : layers_) {
    numbers += layer.h.size() + layer.dz.size();
    for (const Parameter* p : {&layer.weight, &layer.bias})
      numbers += p->value.size() + p->gradient.size() + p->m.size() + p->v.size();
  }
  return numbers * sizeof(float);
}

// Fills h of every layer and dz of the last one. Z = X·W, H = σ(Z + b).
float Perceptron::forward(const float* x, const std::int64_t* labels) {
  for (std::size_t l = 0; l < layers(); ++l) {
    Layer& layer = layers_[l];
    multiply(engine_, Form::nn, batch_, layer.units, layer.inputs, input_of(l, x),
             layer.weight.value.data(), layer.h.data());
    if (l + 1 == layers()) break;
    const ConstantArray bias(layer.bias.value.data(), layer.units);
    for (int j = 0; j < batch_; ++j) {
      Array row(layer.h.data() + static_cast<std::ptrdiff_t>(j) * layer.units, layer.units);
      if (activation_ == Activation::sigmoid)
        row = (row + bias).logistic();
      else
        row = (row + bias).max(0.0F);
    }
  }
  return softmax(labels);
}

// dZ = (P − Y) / batch of the last layer.
float Perceptron::softmax(const std::int64_t* labels) {
  Layer& last = layers_.back();
  const int units = last.units;
  const ConstantArray bias(last.bias.value.data(), units);
  double loss = 0;
  for (int j = 0; j < batch_; ++j) {
    Array row(last.h.data() + static_cast<std::ptrdiff_t>(j) * units, units);
    row += bias;
    row -= row.maxCoeff();
    loss -= static_cast<double>(row(labels[j]));
  }
  const auto size = static_cast<Eigen::Index>(last.h.size());
  Array(last.dz.data(), size) = ConstantArray(last.h.data(), size).exp();
  const float share = 1.0F / static_cast<float>(batch_);
  for (int j = 0; j < batch_; ++j) {
    Array row(last.dz.data() + static_cast<std::ptrdiff_t>(j) * units, units);
    const float sum = row.sum();
    loss += std::log(static_cast<double>(sum));
    row *= share / sum;
    row(labels[j]) -= share;
  }
  return static_cast<float>(loss / batch_);
}

// dZ of the layer below: dH = dZ·Wᵀ, dZ = dH ⊗ σ'(Z), which is H ⊗ (1 − H), or 1 where H > 0.
void Perceptron::slopes(std::size_t l) {
  const Layer& layer = layers_[l];
  Layer& below = layers_[l - 1];
  multiply(engine_, Form::nt, batch_, layer.inputs, layer.units, layer.dz.data(),
           layer.weight.value.data(), below.dz.data());
  const float* __restrict h = below.h.data();
  float* __restrict dz = below.dz.data();
  const std::size_t size = below.dz.size();
  if (activation_ == Activation::sigmoid)
    for (std::size_t i = 0; i < size; ++i) dz[i] *= h[i] * (1 - h[i]);
  else
    for (std::size_t i = 0; i < size; ++i) dz[i] = h[i] > 0 ? dz[i] : 0;
}

void Perceptron::bias_sums(Layer& layer) const {
  Array db(layer.bias.gradient.data(), layer.units);
  db = ConstantArray(layer.dz.data(), layer.units);
  for (int j = 1; j < batch_; ++j)
    db +=
        ConstantArray(layer.dz.data() + static_cast<std::ptrdiff_t>(j) * layer.units, layer.units);
}

float Perceptron::gradients(const float* x, const std::int64_t* labels) {
  const float loss = forward(x, labels);
  for (std::size_t l = layers(); l-- > 0;) {
    Layer& layer = layers_[l];
    // dW = (input)ᵀ·dZ
    multiply(engine_, Form::tn, layer.inputs, layer.units, batch_, input_of(l, x), layer.dz.data(),
             layer.weight.gradient.data());
    bias_sums(layer);
    if (l > 0) slopes(l);
  }
  return loss;
}

float Perceptron::step(const float* x, const std::int64_t* labels) {
  const float loss = gradients(x, labels);
  ++steps_;
  for (Layer& layer : layers_)
    for (Parameter* p : {&layer.weight, &layer.bias}) {
      const std::size_t n = p->value.size();
      if (optimizer_ == Optimizer::sgd)
        sgd(p->value.data(), p->gradient.data(), n, rate_);
      else
        adam(p->value.data(), p->gradient.data(), p->m.data(), p->v.data(), n, steps_, rate_);
    }
  return loss;
}

float Perceptron::fused_step(const float* x, const std::int64_t* labels) {
  const float loss = forward(x, labels);
  for (std::size_t l = layers(); l-- > 0;) {
    Layer& layer = layers_[l];
    if (l > 0) slopes(l);
    multiply(engine_, Form::tn, layer.inputs, layer.units, batch_, input_of(l, x), layer.dz.data(),
             layer.weight.value.data(), -rate_, true);
    bias_sums(layer);
    sgd(layer.bias.value.data(), layer.bias.gradient.data(), layer.bias.value.size(), rate_);
  }
  return loss;
}

}  // namespace floors
