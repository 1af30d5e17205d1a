// Every type that has products of its own.
#pragma once

#include "products_panel.h"

namespace edgemed::products {

#ifdef EDGEMED_HAS_PRODUCTS
extern const Kernel kQ2K, kQ3K, kQ4K, kQ5K, kQ6K, kQ80;
#endif

}  // namespace edgemed::products
