# The target mquant_torch: the headers of libtorch as system headers, libtorch_cpu and libc10, and OpenMP.
#
# OpenMP is for at::parallel_for, a template that runs on one thread, without a word, in a file compiled without it.
# The runtime is libtorch's own where it brings one: two in a process would each have their threads.
#
# find_package(Torch) is not used: it adds distributed defines, kineto warnings and search paths of the machine that
# built the wheel.  A libtorch is taken from, in this order: MQUANT_TORCH_DIR, Torch_DIR, CMAKE_PREFIX_PATH (a libtorch,
# or a Python's torch.utils.cmake_prefix_path), third_party/libtorch (which scripts/bootstrap.sh fills).
set(candidates ${MQUANT_TORCH_DIR})
if(Torch_DIR)
  list(APPEND candidates ${Torch_DIR}/../../..)
endif()
foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND candidates ${prefix} ${prefix}/../..)
endforeach()
file(TO_CMAKE_PATH "$ENV{CMAKE_PREFIX_PATH}" prefixes)
foreach(prefix IN LISTS prefixes)
  list(APPEND candidates ${prefix} ${prefix}/../..)
endforeach()
list(APPEND candidates ${PROJECT_SOURCE_DIR}/third_party/libtorch)

unset(torch)
foreach(candidate IN LISTS candidates)
  if(EXISTS ${candidate}/include/ATen/core/Tensor.h AND EXISTS ${candidate}/lib/libtorch_cpu.so)
    get_filename_component(torch ${candidate} ABSOLUTE)
    break()
  endif()
endforeach()
if(NOT torch)
  message(FATAL_ERROR "No libtorch with include/ATen/core/Tensor.h and lib/libtorch_cpu.so in: ${candidates}\n"
                      "Run scripts/bootstrap.sh, or give your own by -DMQUANT_TORCH_DIR=<folder> or CMAKE_PREFIX_PATH.")
endif()
message(STATUS "libtorch: ${torch}")
set(MQUANT_TORCH_LIB_DIR ${torch}/lib)

add_library(mquant_c10 SHARED IMPORTED)
set_target_properties(mquant_c10 PROPERTIES IMPORTED_LOCATION ${torch}/lib/libc10.so)
add_library(mquant_torch SHARED IMPORTED)
set_target_properties(mquant_torch PROPERTIES IMPORTED_LOCATION ${torch}/lib/libtorch_cpu.so)
target_link_libraries(mquant_torch INTERFACE mquant_c10 Threads::Threads)
if(EXISTS ${torch}/lib/libgomp.so.1)
  add_library(mquant_gomp SHARED IMPORTED)
  set_target_properties(mquant_gomp PROPERTIES IMPORTED_LOCATION ${torch}/lib/libgomp.so.1)
  target_compile_options(mquant_torch INTERFACE ${OpenMP_CXX_FLAGS})
  target_link_libraries(mquant_torch INTERFACE mquant_gomp)
else()
  target_link_libraries(mquant_torch INTERFACE OpenMP::OpenMP_CXX)
endif()
target_include_directories(mquant_torch SYSTEM INTERFACE ${torch}/include ${torch}/include/torch/csrc/api/include)
target_compile_definitions(mquant_torch INTERFACE AT_PER_OPERATOR_HEADERS)
