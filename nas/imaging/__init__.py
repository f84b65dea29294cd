"""Operations on images: bicubic resizing, inference in tiles."""
