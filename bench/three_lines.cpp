// The program whose compile time and start-up time bench/three_lines.py measures.
#include <chainrule/chainrule.hpp>

int main() {
  const auto a = cr::tensor({1.0, 2.0, 3.0}).requires_grad_(), b = cr::tensor({4.0, 5.0, 6.0});
  dot(a, b).backward();
  return a.grad().at({0}) == 4 ? 0 : 1;
}
