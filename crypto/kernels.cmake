# The vector kernels of AES-GCM: one source, one small object file for each instruction set, with flags of its own. Other
# processors than x86-64 get none and run everything with OpenSSL.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(flags_aesni_avx2 -mavx2 -maes -mpclmul)
  set(flags_vaes256    ${flags_aesni_avx2} -mvaes -mvpclmulqdq)
  set(flags_vaes512    ${flags_vaes256} -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
  foreach(kernel aesni_avx2 vaes256 vaes512)
    add_library(culvert_gcm_${kernel} OBJECT crypto/kernels/gcm_${kernel}.cpp)
    target_compile_options(culvert_gcm_${kernel} PRIVATE ${flags_${kernel}})
    # What is not vector code stays scalar: structs copied by vectors wait for the stores of their members.
    target_compile_options(culvert_gcm_${kernel} PRIVATE -fno-tree-vectorize -fno-tree-slp-vectorize)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # false positives of g++ 12 in its own avx512fintrin.h
      target_compile_options(culvert_gcm_${kernel} PRIVATE -Wno-uninitialized)
    endif()
    if(CULVERT_SANITIZE)  # instrumented intrinsics take minutes to compile; tests with guard pages watch the kernels' bounds
      set_source_files_properties(crypto/kernels/gcm_${kernel}.cpp PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-O2")
    endif()
    target_include_directories(culvert_gcm_${kernel} PRIVATE crypto)
    target_link_libraries(culvert_gcm_${kernel} PRIVATE culvert_flags culvert_base)
    target_include_directories(culvert_gcm_${kernel} PRIVATE
      $<TARGET_PROPERTY:culvert_crypto,INTERFACE_INCLUDE_DIRECTORIES>)
    target_sources(culvert_crypto PRIVATE $<TARGET_OBJECTS:culvert_gcm_${kernel}>)
  endforeach()
  target_sources(culvert_crypto PRIVATE crypto/kernels/x86.cpp)
else()
  target_sources(culvert_crypto PRIVATE crypto/kernels/none.cpp)
endif()
target_include_directories(culvert_crypto PRIVATE crypto)
