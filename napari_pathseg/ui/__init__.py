"""What the pathologist sees and does; the only room with Qt."""
