// Loads libraries made of plugin.cpp, calls each from a thread of its own and from this one, and
// unloads them, again and again. Exit status 0 if everything came out as it has to.

#include <dlfcn.h>

#include <cstdio>
#include <thread>
#include <vector>

int main(int count, char** paths) {
  int failures = 0;
  for (int round = 0; round < 5; ++round) {
    std::vector<void*> loaded;
    for (int i = 1; i < count; ++i) {
      void* const plugin = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
      void* const found = plugin ? dlsym(plugin, "run") : nullptr;
      if (!found) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
      }
      const auto run = reinterpret_cast<int (*)()>(found);
      std::thread([&] { failures += run(); }).join();
      failures += run();
      loaded.push_back(plugin);
    }
    for (void* const plugin : loaded) dlclose(plugin);
  }
  if (failures == 0) std::puts("all is right");
  return failures;
}
