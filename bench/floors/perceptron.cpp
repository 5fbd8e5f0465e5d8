#include <chainrule/bench/floors/perceptron.hpp>

#include <cmath>

namespace floors {

Perceptron::Perceptron(std::span<const int> sizes, int batch) : batch_(batch) {
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
    const int inputs = sizes[l], units = sizes[l + 1];
    weights_.emplace_back(units, inputs);
    weight_gradients_.emplace_back(units, inputs);
    biases_.emplace_back(units);
    bias_gradients_.emplace_back(units);
    h_.emplace_back(units, batch);
    dz_.emplace_back(units, batch);
  }
}

// Fills h of every layer and dz of the last one.
float Perceptron::forward(const Input& x, const std::int64_t* labels) {
  const std::size_t last = layers() - 1;
  for (std::size_t l = 0; l <= last; ++l) {
    Eigen::MatrixXf& h = h_[l];
    for (int j = 0; j < batch_; ++j) h.col(j) = biases_[l];
    if (l == 0)
      h.noalias() += weights_[l] * x;
    else
      h.noalias() += weights_[l] * h_[l - 1];
    if (l < last) h = h.array().logistic();
  }

  Eigen::MatrixXf &p = h_[last], &dz = dz_[last];
  double loss = 0;
  for (int j = 0; j < batch_; ++j) {
    p.col(j).array() -= p.col(j).maxCoeff();
    loss -= static_cast<double>(p(labels[j], j));
  }
  dz = p.array().exp();
  const float share = 1.0F / static_cast<float>(batch_);
  for (int j = 0; j < batch_; ++j) {
    const float sum = dz.col(j).sum();
    loss += std::log(static_cast<double>(sum));
    dz.col(j) *= share / sum;
    dz(labels[j], j) -= share;
  }
  return static_cast<float>(loss / batch_);
}

// to = scale dz·inputᵀ, or with `to` being the weights, their update.
template <class H>
void Perceptron::multiply(std::size_t layer, const H& input, float scale, Eigen::MatrixXf& to) {
  const Eigen::MatrixXf& dz = dz_[layer];
  if (&to == &weights_[layer]) {
    if (batch_ == 1)
      to.noalias() += (scale * dz.col(0)) * input.col(0).transpose();
    else
      to.noalias() += scale * dz * input.transpose();
  } else {
    if (batch_ == 1)
      to.noalias() = dz.col(0) * input.col(0).transpose();
    else
      to.noalias() = dz * input.transpose();
  }
}

// dz of the layer below: dh = Wᵀ·dz, dz = dh ⊗ h ⊗ (1 − h).
void Perceptron::slopes(std::size_t layer) {
  Eigen::MatrixXf& below = dz_[layer - 1];
  const Eigen::MatrixXf& h = h_[layer - 1];
  below.noalias() = weights_[layer].transpose() * dz_[layer];
  below.array() *= h.array() * (1.0F - h.array());
}

void Perceptron::bias_sums(std::size_t layer) {
  Eigen::VectorXf& db = bias_gradients_[layer];
  db = dz_[layer].col(0);
  for (int j = 1; j < batch_; ++j) db += dz_[layer].col(j);
}

float Perceptron::gradients(const float* x, const std::int64_t* labels) {
  const Input input(x, weights_[0].cols(), batch_);
  const float loss = forward(input, labels);
  for (std::size_t l = layers(); l-- > 0;) {
    if (l == 0)
      multiply(l, input, 1, weight_gradients_[l]);
    else
      multiply(l, h_[l - 1], 1, weight_gradients_[l]);
    bias_sums(l);
    if (l > 0) slopes(l);
  }
  return loss;
}

void Perceptron::update(float rate) {
  for (std::size_t l = 0; l < layers(); ++l) {
    weights_[l] -= rate * weight_gradients_[l];
    biases_[l] -= rate * bias_gradients_[l];
  }
}

float Perceptron::fused_step(const float* x, const std::int64_t* labels, float rate) {
  const Input input(x, weights_[0].cols(), batch_);
  const float loss = forward(input, labels);
  for (std::size_t l = layers(); l-- > 0;) {
    if (l > 0) slopes(l);
    if (l == 0)
      multiply(l, input, -rate, weights_[l]);
    else
      multiply(l, h_[l - 1], -rate, weights_[l]);
    bias_sums(l);
    biases_[l] -= rate * bias_gradients_[l];
  }
  return loss;
}

}  // namespace floors
