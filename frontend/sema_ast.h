// The syntax tree beside the graph's headers: `FblType` and `FblParam` name an annotation and a parameter in ast.h, a
// tensor type and a trained tensor in ir/. Here the tree's are FblTypeNode, FblParamNode and FblParamNodes.
//
// Ownership and threads: as ast.h.
#ifndef FBL_FRONTEND_SEMA_AST_H
#define FBL_FRONTEND_SEMA_AST_H

#define FblType FblTypeNode
#define FblParam FblParamNode
#define FblParams FblParamNodes
#include "frontend/parser.h"
#undef FblType
#undef FblParam
#undef FblParams

#endif
