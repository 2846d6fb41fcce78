"""What a slide, a contour, a class, a mask and a project are, and the files that hold them."""
