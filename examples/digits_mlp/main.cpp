// The network of backprop_by_hand from ready-made parts: Sequential, Linear, Sigmoid, cross-entropy
// from logits, SGD.

#include <fmt/format.h>

#include <algorithm>

#include <chainrule/chainrule.hpp>
#include <chainrule/examples/common/confusion.hpp>
#include <chainrule/examples/common/options.hpp>
#include <chainrule/examples/common/table.hpp>
#include <chainrule/examples/digits_mlp/model.hpp>

namespace {

namespace nn = cr::nn;

const examples::Program program = {
    .name = "digits_mlp",
    .description =
        "Trains a fully connected network on handwritten digits (sigmoid, cross-entropy,\n"
        "stochastic gradient descent) and tests it on images that it has not seen. It is\n"
        "the network of backprop_by_hand, with the same initial weights for one seed,\n"
        "made of the ready-made layers of chainrule::nn.",
    .notes =
        "Examples:\n"
        "  digits_mlp\n"
        "  digits_mlp --hidden 100,50 --batch 16 --epochs 20 --rate 0.5 --dtype f32\n"
        "  digits_mlp --emit network\n"
        "\n"
        "Exit status: 0; 2 for a wrong option or an unusable file; 1 if anything else\n"
        "goes wrong.",
    .emit = true};

// The trained network and its derivation, at a few images.
void emit(nn::Sequential& model, const examples::Digits& images, const std::string& folder) {
  const std::int64_t few = std::min<std::int64_t>(images.size(), 8);
  const cr::Tensor x = contiguous(images.pixels[cr::slice(0, few)]).named("x");
  const cr::Tensor labels = images.labels[cr::slice(0, few)];
  const cr::Tensor logits = model(x).named("logits");
  const cr::Tensor loss = cross_entropy(logits, labels);
  cr::emit_cpp(loss, {.name = "digits", .predict = logits}).write(folder);
}

int main_program(const examples::Options& options) {
  const examples::Split digits =
      examples::hold_out(examples::read_digits(options.data, options.dtype));
  const std::int64_t batch = std::min(options.batch, digits.train.size());

  cr::Generator generator(options.seed);
  nn::Sequential model = digits_mlp::make_model(options.layers(), options.dtype, generator);
  nn::SGD sgd(model.parameters(), options.rate);
  fmt::print("{}\n\n", model.to_string());

  if (options.epochs > 0) {
    fmt::print("Training on {} images, in batches of {}, with a learning rate of {}\n\n",
               examples::grouped(digits.train.size()), batch, options.rate);
    examples::Batches batches(digits.train.size(), batch, options.seed);
    examples::Progress progress(options.epochs, digits.train.size());
    digits_mlp::train(model, sgd, digits, batches, options.epochs, progress);
    fmt::print("{}\n\n", progress.summary());
  }

  model.eval();
  const cr::Tensor logits = cr::no_grad([&] { return model(digits.test.pixels); });
  fmt::print("The {} images of the test, which were not trained with\n\n{}",
             examples::grouped(digits.test.size()),
             examples::confusion_matrix(digits.test.labels, argmax(logits, 1)));
  if (!options.emit.empty()) {
    emit(model, digits.test, options.emit);
    fmt::print(
        "\nThe network as C++ that needs Eigen alone: {}/digits.hpp, with its numbers and a\n"
        "test beside it\n",
        options.emit);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return examples::run(program, argc, argv, main_program); }
