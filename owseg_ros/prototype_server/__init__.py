"""The prototype server: learns classes on request, keeps them, and tells everybody."""
