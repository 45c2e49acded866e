"""The project folder: pictures, what is known of their faces, and who works on which."""
