"""A generator from photographs: the smallest honest StyleGAN2 trainer."""
