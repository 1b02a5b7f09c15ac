#include "gcm_kernel.h"
#include "vector_128.h"

namespace culvert::crypto {

extern const GcmKernel gcm_aesni_avx2;
const GcmKernel gcm_aesni_avx2 = gcm_kernel<Vector128>();

}  // namespace culvert::crypto
